"""A/B tests of two re-rankers: who sees which, what is recorded of it, and what the records say."""
