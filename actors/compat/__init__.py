"""Workarounds for private APIs of our dependencies, one module each."""
