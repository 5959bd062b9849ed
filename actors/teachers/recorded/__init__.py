"""Recorded teachers: labels come from a file of answers, runs or grades."""
