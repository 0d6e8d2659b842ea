"""Where things lie: the root of all data, the S3 store below it, and whether both can be used. Knows no table format."""
