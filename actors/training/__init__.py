"""Distilling a student with DeepSpeed on Ray Train's workers."""
