"""The students and their training objectives. Depends on torch and transformers, not on Ray."""
