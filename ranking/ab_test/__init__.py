"""A/B tests of two re-rankers: arm assignment, exposure records, and statistical inference."""
