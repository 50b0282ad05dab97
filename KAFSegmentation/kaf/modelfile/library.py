"""The local library of models: those that come with KAF, and those the user added.

All but :func:`add_model` needs nothing that Slicer does not ship: its own process lists, keeps and removes models.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kaf.modelfile.card import Card, check_card, copy_with_card, read_card
from kaf.modelfile.library_folder import SUFFIX, alone_in, checked_name, folded, free_name, named_models
from kaf.modelfile.verdict import verdict_on
from kaf.runtime import user_folders
from kaf.runtime.download import Limits, download
from kaf.runtime.errors import ModelError, ModelExistsError, OutputError, UnprovenModelError
from kaf.runtime.files import atomic_path, file_digest, remove, write_problem
from kaf.runtime.temporary import Scratch

__all__ = ["SUFFIX", "Entry", "add_model", "adopt_model", "bundled_folder", "change_card", "check_proven",
           "export_model", "find_model", "free_model_name", "keep_model", "list_models", "refused_models",
           "remove_model", "user_folder"]

_DOWNLOADED = ("http://", "https://")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: "C://" begins a path


@dataclass(frozen=True)
class Entry:
    """A model of the library: its name there, its file, its card, and whether it came with KAF."""

    name: str
    path: Path
    card: Card
    bundled: bool


def bundled_folder() -> Path:
    return Path(__file__).parents[1] / "models"


def user_folder() -> Path:
    return user_folders.data_folder() / "models"


def list_models(folder: Path | None = None) -> list[Entry]:
    """All models whose card can be read and used, those that come with KAF first.  No weight is loaded."""
    entries = []
    for name, (path, bundled) in _models(folder).items():
        with suppress(ModelError):  # `refused_models` says what is wrong
            entries.append(Entry(name, path, read_card(path), bundled))
    return entries


def refused_models(folder: Path | None = None) -> dict[str, ModelError]:
    """The models that are not listed, by name, and what is wrong with each."""
    refused = {}
    for name, (path, _) in _models(folder).items():
        try:
            read_card(path)
        except ModelError as error:
            refused[name] = error
    return refused


def find_model(name: str, folder: Path | None = None) -> Path:
    """The file of a model by its library name, or by a path.

    Raises:
        ModelError: there is none; the message lists what there is and the nearest name.
    """
    path = Path(name).expanduser()
    is_file = os.path.isfile(path)  # Path.is_file raises for a name that is too long
    if path.suffix == SUFFIX or is_file:
        if not is_file:
            raise ModelError(path, "there is no such file", "Check the path, or see `kaf models list`.")
        return path
    models = _models(folder)
    if name in models:
        return models[name][0]
    alike = [found for known, (found, _) in models.items() if folded(known) == folded(name)]
    if len(alike) == 1:  # as file systems that do not tell the two apart have it
        return alike[0]
    near = difflib.get_close_matches(name[:200], models, n=1, cutoff=0.4)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known models: {', '.join(models) or 'none'}."
    raise ModelError(f"model '{name}'", "is not in the library", hint)


def add_model(source: str, name: str = "", digest: str = "", folder: Path | None = None,
              overwrite: bool = False, limits: Limits | None = None, accept: bool = False) -> Entry:
    """Copy a model file, or download it from an http(s) address, into the user's library.

    ``digest`` is the SHA-256 of the whole file and is needed for a download, which stays within ``limits``.  The file
    is checked before it is added, its network is built: an unsound one never enters the library.  ``overwrite``
    replaces a model that the user added; one that came with KAF is never hidden behind another.  ``accept``: a person
    wants it although its own card says that it did not beat doing nothing (``kaf.modelfile.verdict``).

    Raises:
        UnprovenModelError: its card says so, and nobody has accepted that.
        ModelExistsError: its name is taken.
        ModelError: it is no sound model, has another digest, cannot be had, or its name is no file name.
        OutputError: the disk refuses.
    """
    folder, digest = folder or user_folder(), digest.strip().lower().removeprefix("sha256:")
    if _ADDRESS.match(source) and not source.lower().startswith(_DOWNLOADED):
        raise ModelError(source, "is an address, but not one that KAF downloads from",
                         "Give an address that begins with https:// or http://, or the path of a file.")
    if not source.lower().startswith(_DOWNLOADED):
        path = find_model(source, folder)
        found = file_digest(path) if digest else ""
        if found != digest:
            raise ModelError(path, f"has SHA-256 {found} instead of {digest}", "Get the file again.")
        return _add_checked(path, name, folder, overwrite, accept)
    if not digest:
        raise ModelError(source, "has no stated SHA-256", "Give it with --digest; its publisher states it.")
    try:
        scratch = Scratch(user_folders.cache_folder() / "downloads")
    except OSError as error:
        raise OutputError(user_folders.cache_folder(), *write_problem(error)) from error
    try:
        path = scratch.path / f"model{SUFFIX}"
        download(source, path, digest, limits)
        return _add_checked(path, name, folder, overwrite, accept)
    finally:
        scratch.close()


def _add_checked(path: Path, name: str, folder: Path, overwrite: bool, accept: bool) -> Entry:
    from kaf.modelfile.model import load_model

    _, card = load_model(path)
    name = checked_name(name or card.name, "Give another one with --name.")
    if not accept:
        check_proven(card)
    with alone_in(folder):
        _check_free(name, folder, overwrite, "Give another --name, or replace one that you added with --overwrite.")
        target = folder / f"{name}{SUFFIX}"
        with atomic_path(target, overwrite=True) as temporary:
            shutil.copyfile(path, temporary)
    return Entry(name, target, card, False)


def keep_model(path: Path, name: str, folder: Path | None = None) -> Entry:
    """Add a model that KAF has just made to the user's library, under a name that its card takes on.  Needs no torch;
    an existing model is never replaced, nor is one that came with KAF hidden behind it.

    Raises:
        ModelExistsError: the name is taken.
        ModelError: it is no file name, or the file is damaged.
        OutputError: the disk refuses.
    """
    folder = folder or user_folder()
    name = checked_name(name, "Give it another name, best of letters, digits and hyphens.")
    card = read_card(path)
    with alone_in(folder):
        return _keep(path, card, name, folder)


def adopt_model(path: Path, name: str = "", folder: Path | None = None, accept: bool = False) -> Entry:
    """Add a file that somebody else made, as :func:`add_model` does, but without torch: whether all its weights fit its
    network is seen when it is first used.  A name that another model has gets a number; a model that is there already
    is not added again.  ``accept`` as for :func:`add_model`.

    Raises:
        UnprovenModelError: its card says that it did not beat doing nothing, and nobody has accepted that.
        ModelError: it is no model file, is damaged, or was changed after it was made.
        OutputError: the disk refuses.
    """
    folder, card = folder or user_folder(), read_card(path)
    if card.card_digest != card.digest_of_words():
        raise ModelError(path.name, "has a card that was changed after the model was written",
                         "Get the file again from its source.")
    wanted = checked_name(name or card.name, "Add it under another one: `kaf models add FILE --name NAME`.")
    with alone_in(folder):
        for entry in list_models(folder):
            if replace(card, name=entry.card.name, card_digest=entry.card.card_digest) == entry.card:
                return entry
        if not accept:
            check_proven(card)
        return _keep(path, card, free_name(wanted, {folded(known) for known in _models(folder)}), folder)


def free_model_name(wanted: str, folder: Path | None = None) -> str:
    """The name, or the name with a number where the library has a model of that name."""
    return free_name(wanted, {folded(known) for known in _models(folder or user_folder())})


def check_proven(card: Card) -> None:
    """Whether a model may enter the library without a person who says yes.

    Raises:
        UnprovenModelError: its card says that it did not beat doing nothing.
    """
    verdict = verdict_on(card)
    if verdict is not None and not verdict.passed:
        raise UnprovenModelError(
            f"model '{card.name}'", f"was not shown to be worth more than nothing: {verdict.reason()}",
            "Train it longer or on more cases, with validation cases; or add it all the same with --accept.")


def _keep(path: Path, card: Card, name: str, folder: Path) -> Entry:
    _check_free(name, folder, False, "Give it another name.")
    return _write(path, replace(card, name=name), folder / f"{name}{SUFFIX}", name)


def _write(path: Path, card: Card, target: Path, name: str, overwrite: bool = False) -> Entry:
    card = replace(card, card_digest=card.digest_of_words())
    check_card(card)
    with atomic_path(target, overwrite) as temporary:
        copy_with_card(path, temporary, card)
    return Entry(name, target, card, False)


def change_card(name: str, folder: Path | None = None, **words: Any) -> Entry:
    """Write other words (description, training_data, weights_licence) onto the card of a model that the user added;
    the weights stay byte for byte.

    Raises:
        ModelError: it is not the user's, is damaged, or the words cannot be on a card.
        OutputError: the disk refuses.
    """
    path = _own(name, folder, "is not changed")
    with alone_in(path.parent):
        return _write(path, replace(read_card(path), **words), path, name, overwrite=True)


def export_model(name: str, target: Path, folder: Path | None = None, overwrite: bool = False) -> Path:
    """Copy a model of the library to ``target`` (a file, or a folder)."""
    source = find_model(name, folder)
    if target.is_dir():
        target = target / source.name
    with atomic_path(target, overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)
    return target


def remove_model(name: str, folder: Path | None = None) -> None:
    """Delete a model that the user added.

    Raises:
        ModelError: there is none of that name, or it came with KAF.
        OutputError: the disk refuses.
    """
    path = _own(name, folder, "is not removed")
    with alone_in(path.parent):
        try:
            remove(path)
        except OSError as error:
            raise OutputError(path, *write_problem(error)) from error


def _own(name: str, folder: Path | None, kept: str) -> Path:
    """The file of a model that the user added, by its exact name: never by a path, which could lead elsewhere."""
    path, bundled = _models(folder).get(name, (None, False))
    if path is None or bundled:
        raise ModelError(f"model '{name}'", f"comes with KAF and {kept}" if bundled else "is not in your library",
                         "See `kaf models list`.")
    return path


def _models(folder: Path | None) -> dict[str, tuple[Path, bool]]:
    return named_models(bundled_folder(), folder or user_folder())


def _check_free(name: str, folder: Path, overwrite: bool, remedy: str) -> None:
    for known, (_, bundled) in _models(folder).items():
        if folded(known) != folded(name):
            continue
        if bundled:
            raise ModelExistsError(f"model '{name}'", "is in the library already: it comes with KAF and stays", remedy)
        if not overwrite or known != name:
            which = "" if known == name else f", as '{known}'"
            raise ModelExistsError(f"model '{name}'", f"is in the library already{which}", remedy)
