"""The cache's own folder: nothing but its own entries is ever removed, by use, and every removal is reported."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from finetune_toys import small_run
from small_models import write_phantoms

from kaf.cli import entry as cli
from kaf.data import cache_folder
from kaf.data.cache import SliceSettings, load_case
from kaf.data.cache_folder import TAG, open_cache, prune_cache
from kaf.data.folder import Case
from kaf.runtime.errors import OutputError
from kaf.runtime.events import Message
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.verbs.finetune import finetune

SETTINGS = SliceSettings(None, "axial", NormalisationSettings(), KeypointSettings(limit=20))
DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path) -> Path:
    return open_cache(tmp_path / "cache")


def made(folder: Path, seed: int, used: int, size: int = 40) -> Path:
    """A real entry, used so many seconds after the beginning of time."""
    scan = folder.parent / f"scan{seed}.nii.gz"
    image = SimpleITK.GetImageFromArray(np.random.default_rng(seed).normal(500, 100, (2, size, size)).astype("f4"))
    SimpleITK.WriteImage(image, str(scan))
    entry = load_case(Case("a", "a", scan), SETTINGS, folder).entry
    os.utime(entry, (used, used))
    return entry


def size_of(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.iterdir())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def patient(folder: Path) -> dict[str, bytes]:
    """Folders of scans as somebody may have them, the oldest files on the disk."""
    for name in ("patient01", "0123456789abcdef0123456789abcdef"):
        (folder / name / "series").mkdir(parents=True)
        for file in ("image.npy", "series/1.dcm"):
            (folder / name / file).write_bytes(bytes(5000))
            os.utime(folder / name / file, (0, 0))
        os.utime(folder / name, (0, 0))
    return {name: content for name, content in tree(folder).items() if "patient01" in name or "0123456789" in name}


def test_a_training_with_its_cache_among_scans_removes_none_of_them(tmp_path):
    place = tmp_path / "home"
    place.mkdir()
    before = patient(place)
    data = write_phantoms(tmp_path / "scans", ("a", "b"))
    finetune(small_run(tmp_path, data, cache=str(place), cache_limit=1e-6, epochs=0.1))
    assert before.items() <= tree(place).items()
    assert len(tree(place)) > len(before), "the cache is somewhere else"


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_nothing_that_the_cache_did_not_make_is_removed_from_its_own_folder(folder):
    ours = made(folder, 0, used=1000)
    before = patient(folder)
    for name in ("linked", "fedcba9876543210fedcba9876543210"):
        (folder / name).symlink_to(ours, target_is_directory=True)
    (ours.parent / "ffffffffffffffffffffffffffffffff").write_text("a file")
    assert prune_cache(folder, 1e-9) == 0 or not ours.exists()
    assert before.items() <= tree(folder).items()
    assert (folder / "linked").is_symlink()
    assert (folder / "fedcba9876543210fedcba9876543210").is_symlink()
    assert (folder / "ffffffffffffffffffffffffffffffff").read_text() == "a file"
    assert not ours.exists()


def test_an_entry_with_a_file_of_somebody_is_left_as_it_is(folder):
    ours = made(folder, 0, used=1000)
    (ours / "notes.txt").write_text("mine")
    before = tree(folder)
    assert prune_cache(folder, 1e-9) == 0
    assert tree(folder) == before


def test_a_folder_that_is_no_cache_is_never_pruned(tmp_path, folder):
    made(folder, 0, used=1000)
    (folder / TAG).unlink()
    before = tree(folder)
    assert prune_cache(folder, 1e-9) == 0
    assert tree(folder) == before
    (folder / TAG).write_text("Signature: 8a477f597d28d172789f06886806bc55\n# made by another program\n")
    assert prune_cache(folder, 1e-9) == 0
    assert before.items() <= tree(folder).items()


def test_a_folder_of_that_name_with_other_files_is_refused(tmp_path):
    taken = tmp_path / "place" / "kaf-slices"
    taken.mkdir(parents=True)
    (taken / "heart.nii.gz").write_bytes(b"a scan")
    with pytest.raises(OutputError, match=r"kaf-slices: is no folder that KAF made for its cache: heart\.nii\.gz"):
        open_cache(tmp_path / "place")
    assert tree(taken) == {"heart.nii.gz": b"a scan"}


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_the_cache_is_readable_by_its_owner_only(tmp_path, monkeypatch):
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    chosen = tmp_path / "chosen"
    chosen.mkdir(mode=0o755)
    assert (mode(open_cache(chosen)), mode(chosen)) == (0o700, 0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = open_cache()
    assert mode(own) == 0o700
    made(own, 0, used=1000)  # as a version made it that left it open, and without a mark
    (own / TAG).unlink()
    own.chmod(0o755)
    assert open_cache() == own
    assert mode(own) == 0o700
    own.chmod(0o750)  # opened for a group on purpose
    assert open_cache() == own
    assert mode(own) == 0o750


def test_what_was_used_longest_ago_goes_first_and_is_reported(folder):
    entries = [made(folder, seed, used=1000 + seed) for seed in range(5)]
    os.utime(entries[1], (2000, 2000))  # used again
    sizes = [size_of(entry) for entry in entries]
    each = max(sizes)
    reported: list = []
    assert prune_cache(folder, 0, on_event=reported.append) == 0, "0 is no limit"
    assert prune_cache(folder, 6 * each / 1e9, on_event=reported.append) == 0
    assert reported == []
    assert prune_cache(folder, 3.5 * each / 1e9, on_event=reported.append) == sizes[0] + sizes[2]
    assert [entry.exists() for entry in entries] == [False, True, False, True, True]
    message, = reported
    assert isinstance(message, Message)
    for words in (str(folder), "2 preprocessed scans", "--cache-limit", entries[0].name[:8], entries[2].name[:8]):
        assert words in message.text
    assert prune_cache(folder, 1e-9, keep=[entries[3]]) == sizes[1] + sizes[4]
    assert [entry.exists() for entry in entries] == [False, False, False, True, False]


def test_opening_an_entry_is_use(folder):
    old, new = made(folder, 0, used=500), made(folder, 1, used=1000)
    load_case(Case("a", "a", folder.parent / "scan0.nii.gz"), SETTINGS, folder)
    assert prune_cache(folder, 1.5 * size_of(old) / 1e9) > 0
    assert (old.exists(), new.exists()) == (True, False)


def test_what_a_killed_process_left_goes_after_a_day_and_what_is_being_written_stays(folder):
    before = patient(folder)
    names = {".tmp-00000000000000aa": 2 * DAY, ".tmp-00000000000000bb": 60, ".tmp-mine": 2 * DAY}
    for name, age in names.items():
        (folder / name).mkdir()
        (folder / name / "image.npy").write_bytes(b"half")
        used = cache_folder.time.time() - age
        os.utime(folder / name, (used, used))
    prune_cache(folder, 20)
    assert [(folder / name).exists() for name in names] == [False, True, True]
    assert before.items() <= tree(folder).items()


def test_the_limit_is_a_setting_of_the_command_line_and_of_a_file(tmp_path, capsys):
    data = write_phantoms(tmp_path / "scans", ("a", "b"))
    values = small_run(tmp_path, data, epochs=0.1).model_dump(mode="json", exclude={"data", "output"})
    cache = open_cache(tmp_path / "cache")
    old = [made(cache, seed, used=1000 + seed) for seed in range(2)]
    for index, (in_file, flags) in enumerate((({}, ["--cache-limit", "0"]), ({"cache_limit": 1e-9}, []))):
        (tmp_path / "settings.json").write_text(json.dumps({**values, **in_file}))
        run = tmp_path / f"run{index}"
        assert cli.main(["finetune", str(data), "--output", str(run), "--settings", str(tmp_path / "settings.json"),
                         *flags]) == 0
        answers = "Removed from the cache" in (run / "events.jsonl").read_text()
        assert (answers, [entry.exists() for entry in old]) == (bool(in_file), [not in_file] * 2)
    assert "2 preprocessed scans that were used longest ago" in capsys.readouterr().err
