"""Silver: typed, audited, one table per entity.

    raw rows -> entity's silver function -> audit (a verdict for each row) -> stage -> merge -> one commit -> row accounts

The engine computes and writes data files; delta-rs commits them. So a table has one committer whatever the engine, each commit is a
conditional put (safe on S3 with any number of writers), and rows are audited before anybody can see them.
"""
