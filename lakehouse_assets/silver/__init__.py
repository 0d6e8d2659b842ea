"""Silver: typed tables, one per contract, each made of one or several feeds. `build.py` has the way of a row, step by step."""
