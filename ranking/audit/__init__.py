"""Audit a teacher on a sample: parse status, copied input order, self-agreement, position bias and quality."""
