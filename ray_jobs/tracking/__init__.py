"""Experiment tracking: log runs to MLflow."""
