"""Scripts that made the small models in models/; not part of the installed package."""
