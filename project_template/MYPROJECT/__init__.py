"""The source systems of MYPROJECT."""
