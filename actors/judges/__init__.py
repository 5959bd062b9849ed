"""Judges: language models that grade query-passage pairs of an evaluation."""
