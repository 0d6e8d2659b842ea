"""Writes the declaration of a source system from sample files: `lakehouse new-source`.

`sample` reads the files, `format_detection` detects their formats, `types` guesses the types of their columns, `keys` finds which
columns identify a row, `meaning` knows what the names of columns say. `entity` makes the draft of a feed and its tables from these
(`draft`), `declaration` turns it into code, `write` writes that into a file.
"""
