"""Check cluster capacity against the needs of a run, place actors, and report why a stage stalls."""
