"""Settings for all tests: Hypothesis has no deadline, because machines may be slow."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
