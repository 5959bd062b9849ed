"""The vLLM engine that teachers and rationale writers share, with its caches, limits and crash log."""
