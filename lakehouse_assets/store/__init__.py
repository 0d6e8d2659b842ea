"""The root of all data: its paths, the S3 client behind it, preflight checks, readable errors. Knows no table format."""
