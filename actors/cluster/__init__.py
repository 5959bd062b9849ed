"""Cluster capacity: what a run needs, what the cluster offers, actor placement, and stall reports."""
