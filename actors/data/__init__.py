"""Streaming stages through Ray Data: typed rows, parts on storage, and the sink that writes them."""
