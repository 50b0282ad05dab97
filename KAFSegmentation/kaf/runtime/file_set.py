"""Files that belong together and are replaced together, so that whoever reads them can tell whether they do."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from kaf.runtime.errors import OutputError
from kaf.runtime.files import atomic_path, check_output, move, remove, write_problem


@contextmanager
def file_set(paths: Sequence[Path], overwrite: bool = False, without: Collection[Path] = ()
             ) -> Iterator[dict[Path, Path]]:
    """Gives a name to write to for each of ``paths``; in the end they take their places, all of them or none.

    The last one is the record of the others.  When all are whole on the disk, the files ``without``, which belong to
    the record that is there, are removed; this record is put aside under a temporary name; the others take their
    places; what was put aside is removed, and the new record comes last.  So a record is never seen beside files of
    another set, whenever the process is killed: at worst there is none, or one file less than it tells of.  Then
    :func:`left_behind` finds the records, which tell of every file that is there.

    Raises:
        OutputError: a file exists and ``overwrite`` is not set, or the disk refuses.
    """
    for path in paths:
        check_output(path, overwrite)
    new = [path for path in paths if not path.exists()]
    ours: dict[Path, os.stat_result] = {}
    aside: list[Path] = []
    try:
        with ExitStack() as stack:  # what is entered first leaves last
            names = {paths[-1]: stack.enter_context(atomic_path(paths[-1], overwrite))}
            stack.push(lambda kind, *_: None if kind else _remove(aside))
            names |= {path: stack.enter_context(atomic_path(path, overwrite)) for path in reversed(paths[:-1])}
            with _own_names(names):
                yield names
            ours = {path: names[path].stat() for path in new}
            for path in paths:
                check_output(path, overwrite)  # somebody may have written one meanwhile
            for path in without:
                remove(path)
            if overwrite and len(paths) > 1 and paths[-1].exists():
                aside.append(_put_aside(paths[-1]))
    except BaseException:
        for path, state in ours.items():
            with suppress(OSError):
                if os.path.samestat(path.stat(), state):  # and not another process's
                    path.unlink()
        raise


def _put_aside(record: Path) -> Path:
    aside = record.with_name(f".{secrets.token_hex(4)}-{record.name}")
    try:
        move(record, aside)
    except OSError as error:
        raise OutputError(record, *write_problem(error)) from error
    return aside


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            remove(path)


def write_set(texts: Mapping[Path, str], overwrite: bool = False) -> None:
    """A :func:`file_set` of texts, the record last."""
    with file_set(list(texts), overwrite) as names:
        for path, text in texts.items():
            names[path].write_bytes(text.encode("utf-8", "backslashreplace"))


@contextmanager
def _own_names(names: dict[Path, Path]) -> Iterator[None]:
    """An error about a temporary name is about the file that it stands for."""
    try:
        yield
    except OutputError as error:
        for path, temporary in names.items():
            if error.subject == str(temporary):
                raise OutputError(path, error.reason.replace(temporary.name, path.name), error.remedy) from error
        raise


def left_behind(paths: Iterable[Path]) -> list[Path]:
    """What processes that were killed have left of writing these files, which are in one folder."""
    paths = list(paths)
    if not paths or not paths[0].parent.is_dir():
        return []
    left = re.compile(rf"(?:\.[0-9a-f]{{8}}-)+(?:{'|'.join(re.escape(path.name) for path in paths)})")
    return [Path(entry.path) for entry in os.scandir(paths[0].parent) if left.fullmatch(entry.name)]


def sweep(paths: Iterable[Path]) -> None:
    """Remove what killed processes have left of writing these files; for one who knows that nobody else is writing
    them."""
    for path in left_behind(paths):
        with suppress(OSError):
            path.unlink()
