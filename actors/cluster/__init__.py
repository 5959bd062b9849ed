"""What a cluster can run: capacity, limits, placement of actors, and reports of stalls."""
