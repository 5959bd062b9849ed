"""The vLLM engine of teachers and rationale writers, with its caches, request limiter and crash log."""
