"""Raw: landing objects as tables. All columns are text, and each row has its source file and row number."""
