"""Score candidate lists with a model on workers, and measure latency."""
