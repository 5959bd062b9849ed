"""The domain: records, settings, collections, labels, measures. No Ray, no torch, no vLLM."""
