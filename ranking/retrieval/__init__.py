"""Fusing candidate lists and removing duplicates from them."""
