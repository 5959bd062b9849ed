"""Pointwise teachers: a model in vLLM scores one query-document pair at a time."""
