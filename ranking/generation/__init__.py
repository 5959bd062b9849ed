"""Queries generated from documents: sampling, parsing, near-duplicates, and the split by document."""
