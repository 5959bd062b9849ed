"""Ray clusters of several nodes on one machine, and their processes, for tests and benchmarks that kill them."""
