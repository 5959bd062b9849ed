"""Benchmarks of serving: our service and alternatives to it, with the same weights."""
