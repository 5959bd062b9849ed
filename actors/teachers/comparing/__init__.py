"""Pairwise and setwise teachers: a language model in vLLM compares a few documents per prompt."""
