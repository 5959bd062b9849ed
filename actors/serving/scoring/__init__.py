"""Scoring in a replica: loaded models, tokenization and batches across requests."""
