"""The service: HTTP routes, scorer replicas, traffic between two models, and what is recorded of it."""
