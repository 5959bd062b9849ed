"""Selection of the log queries to label: text normalization, deduplication, long-tail scores and validation split."""
