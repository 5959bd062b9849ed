"""First-stage retrieval and pre-ranking on workers: retrievers, candidate lists and embeddings."""
