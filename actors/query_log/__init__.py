"""Count a query log on workers and select the long-tail queries to label."""
