"""Folders on a local disk or in an object store, with compare-and-swap pointer files and leases."""
