"""Fuse candidate lists and remove duplicates."""
