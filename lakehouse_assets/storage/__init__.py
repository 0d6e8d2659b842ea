"""Where rows lie: the root and its tables, the ledger of partitions, quarantine, and the typed Delta IO manager."""
