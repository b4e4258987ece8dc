"""A folder of Parquet shards: its columns, its manifest, and what is in it."""
