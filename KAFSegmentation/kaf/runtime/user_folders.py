"""Where this system keeps what a program has for a user: models, caches, small marks.

Only the standard library: Slicer's own process uses this file, and its Python has no platformdirs.  The folders are
exactly those of ``platformdirs.user_{data,cache,state}_path("kaf")``, where earlier versions of KAF put them.
"""

from __future__ import annotations

import os
import posixpath
import sys
from pathlib import Path

_NAME = "kaf"
# Below the home, on Linux (XDG base directories) and on macOS, where the same variables come first.
_LINUX = {"DATA": ".local/share", "CACHE": ".cache", "STATE": ".local/state"}
_MACOS = {"DATA": "Library/Application Support", "CACHE": "Library/Caches", "STATE": "Library/Application Support"}
_LOCAL_APP_DATA = "{F1B32785-6FBA-4FCF-9D55-7B8E7F157091}"  # FOLDERID_LocalAppData
_DO_NOT_VERIFY = 0x4000  # KF_FLAG_DONT_VERIFY: the path, whether or not the folder is there


def data_folder() -> Path:
    """What is kept for good, such as the user's models."""
    return _folder("DATA")


def cache_folder() -> Path:
    """What can be made again."""
    return _folder("CACHE")


def state_folder() -> Path:
    """What is known about this user, such as which licences were shown."""
    return _folder("STATE")


def _folder(kind: str) -> Path:
    if sys.platform == "win32":
        folder = Path(os.path.normpath(_local_app_data()), _NAME, _NAME)  # as <author>\<program>
        return folder / "Cache" if kind == "CACHE" else folder
    given = os.environ.get(f"XDG_{kind}_HOME", "")
    if posixpath.isabs(given):  # the standard ignores a relative one
        return Path(given, _NAME)
    return _home() / (_MACOS if sys.platform == "darwin" else _LINUX)[kind] / _NAME


def _home() -> Path:
    """The user's home; a relative ``HOME`` counts as none, because it would be another folder in every folder."""
    if "HOME" in os.environ and not posixpath.isabs(os.environ["HOME"]) and sys.platform != "win32":
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    return Path(os.path.expanduser("~"))


def _local_app_data() -> str:
    """The folder as Windows names it, which a user or an administrator may have moved; else as the environment does."""
    override = os.environ.get("WIN_PD_OVERRIDE_LOCAL_APPDATA", "").strip()  # of platformdirs
    if os.path.isabs(override):
        return override
    return _known_folder() or os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")


def _known_folder() -> str:
    """What SHGetKnownFolderPath answers; nothing where it cannot be asked."""
    if sys.platform != "win32":
        return ""
    import ctypes
    from ctypes import wintypes

    class GUID(ctypes.Structure):
        _fields_ = (("a", wintypes.DWORD), ("b", wintypes.WORD), ("c", wintypes.WORD), ("d", wintypes.BYTE * 8))

    guid, path = GUID(), ctypes.c_void_p()
    if ctypes.windll.ole32.CLSIDFromString(_LOCAL_APP_DATA, ctypes.byref(guid)):
        return ""
    ask = ctypes.windll.shell32.SHGetKnownFolderPath
    ask.argtypes = (ctypes.c_void_p, wintypes.DWORD, wintypes.HANDLE, ctypes.c_void_p)
    try:
        failed = ask(ctypes.byref(guid), _DO_NOT_VERIFY, None, ctypes.byref(path))
        return "" if failed or not path.value else ctypes.wstring_at(path.value)
    finally:
        free = ctypes.windll.ole32.CoTaskMemFree
        free.argtypes = (ctypes.c_void_p,)
        free(path)
