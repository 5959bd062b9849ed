"""Workarounds for private APIs of Ray and DeepSpeed, one module each.

Each module docstring names the library version, the private API and the condition for removing the workaround. The
tests of the modules fail if the library no longer has the private API.
"""
