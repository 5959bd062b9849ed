"""The vLLM engine that teachers and rationale writers run, with its caches, request limiter and crash log."""
