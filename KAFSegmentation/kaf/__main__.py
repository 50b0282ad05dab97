"""``python -m kaf`` is the command line."""

from kaf.cli.entry import entry

entry()
