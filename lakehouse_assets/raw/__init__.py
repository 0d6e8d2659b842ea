"""Raw: landing objects as tables, all columns text, each row with the file and the row number that it came from."""
