"""Scripts that build the small models in models/, and helpers for tests. Not part of the installed package."""
