"""Distill a student with DeepSpeed on Ray Train workers."""
