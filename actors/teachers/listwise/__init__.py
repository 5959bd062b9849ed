"""Listwise teachers: a language model, in vLLM or hosted, ranks the documents of a query in one prompt."""
