"""What is kept on disk: atomic files, tables as Parquet, and records of measurements."""
