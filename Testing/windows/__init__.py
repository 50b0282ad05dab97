"""A stand-in for Windows, for tests on Linux: what the code of ``kaf`` sees, while the rest of Python sees Linux.

``activate`` changes three things, for ``kaf`` and for the processes that it starts:

* ``sys``, ``os``, ``signal``, ``subprocess`` and ``ctypes`` are those of Windows as far as ``kaf`` uses them: other
  names, no ``fcntl``, no ``killpg``, no ``SIGKILL``, an environment without case; ``msvcrt`` locks a byte.
* Files that anybody has open or mapped can be neither deleted nor renamed nor replaced, folders of such files neither;
  no folder is replaced, symbolic links are for administrators, names with ``:`` or ``?`` do not exist.
* Text is cp1252 where nobody says otherwise.

What it cannot show: paths with backslashes and drives, other kinds of sharing, real process trees and job objects.
``Testing/backend/repository/test_windows.py`` runs tests under it.
"""
