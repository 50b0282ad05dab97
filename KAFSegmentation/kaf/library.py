"""The local library of models: those that come with KAF, and those the user added."""

from __future__ import annotations

import difflib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from kaf.card import Card, copy_with_card, read_card
from kaf.errors import KafError, ModelError, OutputError
from kaf.files import atomic_path, remove

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Entry:
    """A model of the library: its name there, its file, its card, and whether it came with KAF."""

    name: str
    path: Path
    card: Card
    bundled: bool


def bundled_folder() -> Path:
    return Path(__file__).parent / "models"


def user_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("kaf") / "models"


def list_models(folder: Path | None = None) -> list[Entry]:
    """All models whose card can be read, those that come with KAF first.  No weight is loaded."""
    entries = []
    for place, bundled in ((bundled_folder(), True), (folder or user_folder(), False)):
        for path in sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else []:
            try:
                entries.append(Entry(path.name.removesuffix(SUFFIX), path, read_card(path), bundled))
            except ModelError:
                continue  # `find_model` says what is wrong with a file when it is asked for by name
    return entries


def find_model(name: str, folder: Path | None = None) -> Path:
    """The file of a model by its library name, or by a path.

    Raises:
        ModelError: there is none; the message lists what there is and the nearest name.
    """
    path = Path(name).expanduser()
    if path.suffix == SUFFIX or path.is_file():
        if not path.is_file():
            raise ModelError(path, "there is no such file", "Check the path, or see `kaf models list`.")
        return path
    for place in (folder or user_folder(), bundled_folder()):
        candidate = place / f"{name}{SUFFIX}"
        if candidate.is_file():
            return candidate
    known = [entry.name for entry in list_models(folder)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known models: {', '.join(known) or 'none'}."
    raise ModelError(f"model '{name}'", "is not in the library", hint)


def add_model(source: str, name: str = "", digest: str = "", folder: Path | None = None,
              overwrite: bool = False) -> Entry:
    """Copy a model file, or download it from an http(s) address, into the user's library.

    ``digest`` is the SHA-256 of the whole file and is needed for a download.  The file is checked before it is
    added: an unsound one never enters the library.
    """
    folder = folder or user_folder()
    folder.mkdir(parents=True, exist_ok=True)
    from kaf.model import load_model

    if source.startswith(("http://", "https://")):
        path = _download(source, digest)
    else:
        path = find_model(source, folder)
        _check_file(path, digest)
    _, card = load_model(path)
    name = (name or card.name).removesuffix(SUFFIX)
    target = _target(name, folder, "Give another one with --name.")
    if target.exists() and not overwrite:
        raise ModelError(f"model '{name}'", "is in the library already", "Give another --name, or --overwrite.")
    with atomic_path(target, overwrite=True) as temporary:
        shutil.copyfile(path, temporary)
    return Entry(name, target, card, False)


def keep_model(path: Path, name: str, folder: Path | None = None) -> Entry:
    """Add a model that KAF has just made to the user's library, under a name that its card takes on.  Needs no torch;
    an existing model is never replaced, nor is one that came with KAF hidden behind it.

    Raises:
        ModelError: the name is taken or no file name, or the file is damaged.
        OutputError: the disk refuses.
    """
    folder = folder or user_folder()
    name = name.removesuffix(SUFFIX)
    target = _target(name, folder, "Give it another name, best of letters, digits and hyphens.")
    if target.exists() or any(entry.name == name for entry in list_models(folder)):
        raise ModelError(f"model '{name}'", "is in the library already", "Give it another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"cannot be made ({error.strerror})", "Check the disk.") from error
    card = replace(read_card(path), name=name)
    card = replace(card, card_digest=card.digest_of_words())
    with atomic_path(target) as temporary:
        copy_with_card(path, temporary, card)
    return Entry(name, target, card, False)


def adopt_model(path: Path, name: str = "", folder: Path | None = None) -> Entry:
    """Add a file that somebody else made, as :func:`add_model` does, but without torch: whether its weights fit its
    network is seen when it is first used.  A name that another model has gets a number; a model that is there already
    is not added again.

    Raises:
        ModelError: it is no model file, is damaged, or was changed after it was made.
        OutputError: the disk refuses.
    """
    card = read_card(path)
    if card.card_digest != card.digest_of_words():
        raise ModelError(path.name, "has a card that was changed after the model was written",
                         "Get the file again from its source.")
    taken = {entry.name: entry for entry in list_models(folder)}
    for entry in taken.values():
        if replace(card, name=entry.card.name, card_digest=entry.card.card_digest) == entry.card:
            return entry
    name = wanted = (name or card.name).removesuffix(SUFFIX)
    number = 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return keep_model(path, name, folder)


def export_model(name: str, target: Path, folder: Path | None = None, overwrite: bool = False) -> Path:
    """Copy a model of the library to ``target`` (a file, or a folder)."""
    source = find_model(name, folder)
    if target.is_dir():
        target = target / source.name
    with atomic_path(target, overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)
    return target


def remove_model(name: str, folder: Path | None = None) -> None:
    """Delete a model that the user added."""
    path = (folder or user_folder()) / f"{name}{SUFFIX}"
    plain = Path(name).name == name  # a path could lead out of the library
    if not plain or not path.is_file():
        bundled = plain and (bundled_folder() / f"{name}{SUFFIX}").is_file()
        raise ModelError(f"model '{name}'",
                         "comes with KAF and is not removed" if bundled else "is not in your library",
                         "See `kaf models list`.")
    remove(path)


def _target(name: str, folder: Path, remedy: str) -> Path:
    if not name or any(c in name for c in '/\\:*?"<>|') or name.startswith("."):
        raise ModelError(f"model name '{name}'", "cannot be a file name", remedy)
    return folder / f"{name}{SUFFIX}"


def _check_file(path: Path, digest: str) -> None:
    if digest:
        from kaf.data.cache import file_digest

        found = file_digest(path)
        if found != digest.lower().removeprefix("sha256:"):
            raise ModelError(path, f"has SHA-256 {found} instead of {digest}", "Get the file again.")


def _download(address: str, digest: str) -> Path:
    """Fetch into the cache with the checksum; the only place where KAF uses the network, and only when asked."""
    import pooch
    from platformdirs import user_cache_path

    if not digest:
        raise ModelError(address, "has no stated SHA-256", "Give it with --digest; its publisher states it.")
    try:
        return Path(pooch.retrieve(address, known_hash=f"sha256:{digest.lower().removeprefix('sha256:')}",
                                   path=user_cache_path("kaf") / "downloads", progressbar=False))
    except ValueError as error:
        raise ModelError(address, f"the download does not have the stated SHA-256 ({error})",
                         "Do not use it; ask its publisher.") from error
    except KafError:
        raise
    except Exception as error:
        raise ModelError(address, f"cannot be downloaded ({error})",
                         "Check the address and the network, or copy the file by hand and add that.") from error
