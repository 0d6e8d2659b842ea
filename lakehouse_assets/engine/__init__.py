"""The Spark Connect server behind PySpark. Steps request a session; this package sets up everything for it, once, on demand."""
