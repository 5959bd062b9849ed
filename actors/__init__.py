"""Stateful workers: retrievers, pre-ranker, teachers, scorer, training worker and serve deployments."""
