"""Ends of a job that are neither success nor bad input: a failing service, and work that waits for others."""

from __future__ import annotations


class ServiceError(Exception):
    """A service outside this project failed. Its message says which one and how, in one line."""


class WaitingError(Exception):
    """A job cannot continue before something happens outside of it. Its message says what, in one line.

    The job ends with exit code 3. Finished work is kept, and the same command continues it.
    """
