"""Streaming stages through Ray Data: typed rows, Parquet parts on storage, and the sink that writes them."""
