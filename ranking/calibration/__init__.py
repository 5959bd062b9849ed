"""Calibration: turn the scores of a student into probabilities of relevance, and measure how well that works."""
