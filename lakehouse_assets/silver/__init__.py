"""Silver: typed tables, one per contract, each built from one or more feeds. `build.py` has the steps of a build."""
