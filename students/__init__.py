"""The students and how they learn: torch and transformers only, no Ray."""
