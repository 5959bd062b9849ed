"""Parts of the selection job: the preview of a query log."""
