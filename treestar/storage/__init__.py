"""Data on disk: atomic files, Parquet tables, and records of measurements."""
