"""How the small models that come with the project are made."""
