"""The files below a folder that can be opened: links are followed, each folder is met once, nothing is waited for.

What cannot be opened (named pipes, devices, links that lead nowhere or in a circle, names that ITK cannot take) is said
and left out.  Only names and kinds are looked at, so that thousands of files take a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kaf.data.pairing import count, some
from kaf.runtime.errors import InputError
from kaf.runtime.plain_text import plain_lines

_KERNEL = {"/proc", "/sys", "/dev"}
"""Folders of no files: what is read there is made while it is read, or waits for a device."""


def is_utf8(name: str) -> bool:
    """Whether a name is text.  Elsewhere than on Windows any bytes can be one, and ITK ends the process over them."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def walk(root: Path, problems: list[str]) -> Iterator[tuple[Path, tuple[str, ...], list[str]]]:
    """Each folder from ``root`` on, its parts below ``root``, and the names of its files, sorted; hidden ones are not
    looked at.  Sentences about what was left out are added to ``problems`` in the end.

    Raises:
        InputError: ``root`` cannot be read, or ITK could read nothing in it.
    """
    if not is_utf8(str(root)):
        raise InputError(plain_lines(root), "its name is not valid UTF-8", "Rename the folder.")
    walker = _Walker(root)
    yield from walker.below(root, ())
    problems += walker.problems()


class _Walker:
    def __init__(self, root: Path):
        self._root = root
        self._seen: set[str] = set()
        self._unreadable: list[str] = []
        self._special: list[str] = []
        self._unnamed: list[str] = []

    def below(self, top: Path, parts: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...], list[str]]]:
        waiting = [(top, parts)]
        while waiting:
            place, relative = waiting.pop()
            real = os.path.realpath(place)
            if real in self._seen or real in _KERNEL:  # a link to a folder above would never end
                continue
            self._seen.add(real)
            folders, files = self._content(place, relative)
            yield place, relative, files
            waiting += [(place / name, (*relative, name)) for name in reversed(folders)]

    def _content(self, place: Path, relative: tuple[str, ...]) -> tuple[list[str], list[str]]:
        """The names of folders and of files; what is neither, or cannot be named, is noted."""
        folders, files = list[str](), list[str]()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    kind = self._kind(entry)
                    if kind == "folder" and entry.name.startswith(("$", "__MACOSX")):
                        continue
                    path = "/".join((*relative, plain_lines(entry.name)))
                    if kind == "":
                        self._special.append(path)
                    elif not is_utf8(entry.name):
                        self._unnamed.append(path)
                    else:
                        (folders if kind == "folder" else files).append(entry.name)
        except OSError as error:
            if place == self._root:
                raise InputError(place, f"cannot be read ({error.strerror})",
                                 "Ask for permission to read it, or copy the scans elsewhere.") from error
            self._unreadable.append(f"the folder {'/'.join(relative)} cannot be read ({error.strerror}). Ask for "
                                    "permission to read it")
        return sorted(folders), sorted(files)

    @staticmethod
    def _kind(entry: os.DirEntry[str]) -> str:
        """"folder", "file", or nothing for what is neither."""
        try:
            return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
        except OSError:  # a link in a circle
            return ""

    def problems(self) -> list[str]:
        found = list(self._unreadable)
        if self._special:
            found.append(f"{count(self._special, 'entry', 'entries')} that cannot be opened as files (a named pipe, a "
                         f"device, a link that leads nowhere) left out: {some(sorted(self._special))}")
        if self._unnamed:
            found.append(f"{count(self._unnamed, 'file')} left out, as the name is not valid UTF-8: "
                         f"{some(sorted(self._unnamed))}. Rename such files and folders")
        return found
