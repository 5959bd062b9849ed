"""Run stages as streams through Ray Data: typed rows, Parquet parts on storage, and the sink that writes the parts."""
