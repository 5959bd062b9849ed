"""Which queries of a log are labelled, and which of them validate a training."""
