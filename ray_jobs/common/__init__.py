"""Shared code of the jobs: the run, its stages, the connection to Ray, logs and errors."""
