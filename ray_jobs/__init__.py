"""Entry points. Each module is one job that `ray job submit` can run."""
