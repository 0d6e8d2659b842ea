"""Records of each partition: ledger, quarantine, rows set aside, refusals. They are checked against the tables, never trusted."""
