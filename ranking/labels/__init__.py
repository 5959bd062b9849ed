"""From a query log to labels: which queries, which candidates, which targets."""
