"""Experiments with a challenger: arms, recorded exposures and feedback."""
