"""Evaluation: measures, significance tests and the promotion decision from runs and judgements."""
