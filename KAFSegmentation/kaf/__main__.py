"""``python -m kaf`` is the command line."""

from kaf.cli import entry

entry()
