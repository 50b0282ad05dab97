"""Which files and programs the GUI thread turns to meanwhile: what a slow disk would make a person wait for."""

import os
import sys
import threading
from contextlib import contextmanager

_EVENTS = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "subprocess.Popen")
_OWN = (sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
_records = []  # one list at most: the hook stays for the life of the process


@contextmanager
def disk_watch():
    """A list that fills with "event path" of everything that this thread does on disks; modules that are imported do
    not count."""
    if not getattr(disk_watch, "hooked", False):
        sys.addaudithook(_onEvent)
        disk_watch.hooked = True
    seen = []
    stat, os.stat = os.stat, lambda path, *a, **k: (_note("os.stat", path), stat(path, *a, **k))[1]
    _records.append((threading.get_ident(), seen))
    try:
        yield seen
    finally:
        _records.pop()
        os.stat = stat


def _onEvent(event, arguments):
    if _records and event in _EVENTS:
        _note(event, arguments[0] if arguments else "")


def _note(event, path):
    if _records and _records[-1][0] == threading.get_ident() and not str(path).startswith(_OWN):
        _records[-1][1].append(f"{event} {path}")
