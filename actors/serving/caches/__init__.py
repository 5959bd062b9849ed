"""Caches of a replica: scores of pairs, and tokens of documents. Both are off by default."""
