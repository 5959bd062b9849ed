"""What holds state on a worker: retrievers, pre-ranker, teachers, scorer, training worker, serve deployments."""
