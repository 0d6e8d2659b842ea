"""The Spark Connect server behind PySpark. A step asks for a session; everything before that happens here, once, on demand."""
