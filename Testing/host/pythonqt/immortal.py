"""PySide6 6.12 gives away a reference of None (or True, False) with every call that returns it.

From Python 3.12 on these objects are immortal and nothing happens.  Before that the counts run down and the
process is aborted ("deallocating None") after some thousand calls: with PySide6 6.12.0 on Python 3.11,
`QWidget().hide()` lowers the reference count of None by one.  So the counts are given a head start here.
"""

import ctypes
import sys

_HEAD_START = 1 << 40


def protect() -> None:
    """Make the singletons practically immortal where Python does not."""
    if sys.version_info >= (3, 12):
        return
    for singleton in (None, True, False, NotImplemented):
        count = ctypes.c_ssize_t.from_address(id(singleton))
        if count.value < _HEAD_START:
            count.value += _HEAD_START
