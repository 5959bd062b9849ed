"""Entry points: one file is one thing you can `ray job submit`."""
