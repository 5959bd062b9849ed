"""Fuse the candidate lists of several retrievers and remove duplicates."""
