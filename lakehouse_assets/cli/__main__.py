"""`python -m lakehouse_assets.cli`."""

from lakehouse_assets.cli.entry import main

main()
