"""Writes the declaration of a source system from sample files: `lakehouse new-source`.

`sample` reads the files, `told` tells their formats, `types` the types of their columns, `keys` which columns identify a row, `meaning`
what the names of columns say. `entity` puts these together, `declaration` writes them down as code, `write` into a file.
"""
