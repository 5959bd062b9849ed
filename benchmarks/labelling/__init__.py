"""Benchmarks of labelling. Each runs all sides in one call: ratios are comparable, times depend on the machine."""
