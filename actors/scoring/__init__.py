"""Scoring candidate lists with a model on workers, and measuring latency."""
