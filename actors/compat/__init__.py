"""Workarounds for private APIs of Ray Train, one module each.

Each module docstring names the Ray version, the private API and the condition for removing the workaround.
"""
