"""Domain code: records, settings, collections, labels and measures. Does not import Ray, torch or vLLM."""
