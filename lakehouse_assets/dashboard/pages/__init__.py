"""One module a page: `show(view)` renders it."""
