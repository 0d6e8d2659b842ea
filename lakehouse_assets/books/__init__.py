"""What is known of each partition: the ledger, quarantine, rows set aside, refusals. Held against the tables, never trusted."""
