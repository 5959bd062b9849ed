"""Clicks as a training signal: position bias, debiased relevance, and mixing with a teacher's targets."""
