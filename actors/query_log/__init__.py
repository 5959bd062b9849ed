"""Counting a query log on workers, and selecting the long-tail queries to label."""
