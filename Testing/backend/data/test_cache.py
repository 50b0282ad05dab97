"""The cache of prepared cases: found again by content, never half there."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from kaf.data import cache
from kaf.data.cache import SliceSettings, cache_cases, load_case
from kaf.data.cache_folder import TAG, open_cache
from kaf.data.folder import Case
from kaf.imaging.keypoints import detect
from kaf.imaging.prepare import normalise
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import Progress
from kaf.runtime.files import file_digest
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

TISSUE = NormalisationSettings()
SETTINGS = SliceSettings(None, "axial", TISSUE, KeypointSettings(limit=20), describe=True)


def write(path, voxels):
    """A file whose axes run as those of canonical axial slices do: left, posterior, superior."""
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((1.5, 1.25, 8.0))
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.fixture
def case(tmp_path):
    voxels = np.random.default_rng(0).normal(500, 100, (3, 40, 36)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 4, voxels.shape).astype(np.uint8)
    image, label = write(tmp_path / "heart.nii.gz", voxels), write(tmp_path / "heart_gt.nrrd", labels)
    return Case("heart", "anna", image, label)


@pytest.fixture
def folder(tmp_path):
    return open_cache(tmp_path / "cache")


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != TAG)


def entry_of(folder):
    name, = entries(folder)
    return folder / name


def forbid(monkeypatch):
    for name in ("read_scan", "read_drawn", "prepare", "_store"):
        monkeypatch.delattr(cache, name)


def test_the_second_load_reads_only_the_cache(case, folder, monkeypatch):
    first = load_case(case, SETTINGS, folder)
    forbid(monkeypatch)
    again = load_case(case, SETTINGS, folder)
    assert len(entries(folder)) == 1
    for name in ("name", "patient", "spacing"):
        assert getattr(first, name) == getattr(again, name)
    assert (again.name, again.patient) == ("heart", "anna")
    assert again.spacing == pytest.approx((8.0, 1.25, 1.5))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert isinstance(again.image, np.memmap), "a case is not held in memory"


def test_what_comes_back_is_what_was_prepared(case, folder):
    load_case(case, SETTINGS, folder)
    cached = load_case(case, SETTINGS, folder)
    voxels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(case.image)))
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(case.label)))
    low, high, offset, scale = normalise(voxels, TISSUE)
    assert np.allclose(cached.image, (np.clip(voxels, low, high) - offset) / scale, atol=1e-5)
    assert np.array_equal(cached.labels, labels)
    assert cached.labels.dtype == np.uint8
    assert len(cached.keypoints) == 3
    for image, points in zip(cached.image, cached.keypoints, strict=True):
        expected = detect(image, SETTINGS.keypoints, describe=True)
        for name in ("positions", "response", "descriptors"):
            assert np.array_equal(getattr(points, name), getattr(expected, name))
            assert getattr(points, name).dtype == getattr(expected, name).dtype


def test_without_labels_and_descriptors(case, folder):
    plain = SliceSettings(None, "axial", TISSUE, SETTINGS.keypoints)
    cached = load_case(Case("heart", "anna", case.image), plain, folder)
    assert cached.labels is None
    assert all(points.descriptors is None for points in cached.keypoints)


@pytest.mark.parametrize("change", [
    {"spacing": 2.0}, {"slicing_axis": "sagittal"}, {"describe": False},
    {"keypoints": KeypointSettings(limit=21)}, {"normalisation": NormalisationSettings(low=1)}], ids=str)
def test_other_settings_make_another_entry(case, folder, change):
    load_case(case, SETTINGS, folder)
    before = set(entries(folder))
    load_case(case, SliceSettings(**{**vars(SETTINGS), **change}), folder)
    assert len(set(entries(folder)) - before) == 1
    assert before < set(entries(folder))


@pytest.mark.parametrize("which", ["image", "label"])
def test_changed_content_makes_another_entry(case, folder, which):
    first = load_case(case, SETTINGS, folder)
    path = getattr(case, which)
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    values[1, 5, 5] = 3 if values[1, 5, 5] != 3 else 2
    status = path.stat()
    write(path, values)
    os.utime(path, (status.st_atime, status.st_mtime))
    second = load_case(case, SETTINGS, folder)
    assert len(entries(folder)) == 2
    other = "labels" if which == "label" else "image"
    assert not np.array_equal(getattr(first, other), getattr(second, other))


@pytest.mark.parametrize("name", ["heart.mhd", "heart.nhdr"])
def test_voxels_beside_their_header_belong_to_the_content(folder, tmp_path, name):
    image = SimpleITK.GetImageFromArray(np.random.default_rng(0).normal(500, 100, (3, 40, 36)).astype(np.float32))
    SimpleITK.WriteImage(image, str(tmp_path / name))
    (voxels,) = (path for path in tmp_path.iterdir() if path.suffix in (".raw", ".zraw"))
    first = load_case(Case("heart", "anna", tmp_path / name), SETTINGS, folder)
    SimpleITK.WriteImage(SimpleITK.Pow(image, 2), str(tmp_path / name))
    assert voxels.exists()
    again = load_case(Case("heart", "anna", tmp_path / name), SETTINGS, folder)
    assert not np.array_equal(first.image, again.image)


def test_a_scan_that_is_replaced_while_it_is_read_is_not_kept(case, folder, monkeypatch):
    """It would be found for ever under the digest of the scan that was there before."""
    other = np.random.default_rng(9).normal(500, 100, (3, 40, 36)).astype(np.float32)
    read = cache.read_scan
    monkeypatch.setattr(cache, "read_scan", lambda case: read(replace(case, image=write(case.image, other))))
    with pytest.raises(InputError, match=r"heart\.nii\.gz: was changed while it was read"):
        load_case(case, SETTINGS, folder)
    assert entries(folder) == []


def test_the_same_content_under_another_name_is_found(case, folder, tmp_path, monkeypatch):
    load_case(case, SETTINGS, folder)
    forbid(monkeypatch)
    moved = case.image.rename(tmp_path / "other.nii.gz")
    cached = load_case(Case("other", "berta", moved, case.label), SETTINGS, folder)
    assert (cached.name, cached.patient) == ("other", "berta")


def test_a_folder_is_known_by_the_bytes_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(b"one")
    (tmp_path / "a" / "2.dcm").write_bytes(b"two")
    before = file_digest(tmp_path / "a")
    assert before == file_digest(tmp_path / "a")
    (tmp_path / "a" / "2.dcm").write_bytes(b"twO")
    assert file_digest(tmp_path / "a") != before


@pytest.mark.parametrize("fail_at", [1, 2, 4])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()], ids=["full", "stop"])
def test_a_failed_write_leaves_nothing_behind(case, folder, monkeypatch, fail_at, error):
    calls, save = [], np.save

    def failing(path, values):
        calls.append(path)
        if len(calls) == fail_at:
            path.write_bytes(b"half")
            raise error
        save(path, values)

    monkeypatch.setattr(np, "save", failing)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is OutputError else None):
        load_case(case, SETTINGS, folder)
    assert entries(folder) == []
    monkeypatch.undo()
    assert load_case(case, SETTINGS, folder).image.shape == (3, 40, 36)


def test_a_write_that_stops_dead_is_not_seen(case, folder, monkeypatch):
    """What a killed process leaves has another name; the next run goes on as if it were not there."""
    seen = []
    monkeypatch.setattr(cache.os, "replace", lambda source, target: seen.append(entries(folder)) or 1 / 0)
    monkeypatch.setattr(cache, "remove_entry", lambda entry: False)
    with pytest.raises(ZeroDivisionError):
        load_case(case, SETTINGS, folder)
    monkeypatch.undo()
    assert len(seen[0]) == 1
    assert seen[0][0].startswith(".tmp-")
    assert load_case(case, SETTINGS, folder).labels is not None
    assert len(entries(folder)) == 2


def test_two_processes_may_make_the_same_entry(case, folder, monkeypatch):
    store = cache._store

    def late(entry, *content):
        store(entry, *content)  # the other process was first
        store(entry, *content)

    monkeypatch.setattr(cache, "_store", late)
    assert load_case(case, SETTINGS, folder).image.shape == (3, 40, 36)
    assert len(entries(folder)) == 1


def test_what_is_written_is_on_the_disk_before_it_has_its_name(case, folder, monkeypatch):
    synced, replace, fsync = set(), os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.fstat(handle).st_ino) or fsync(handle))

    def rename(source, target):
        assert {path.stat().st_ino for path in Path(source).iterdir()} <= synced
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    load_case(case, SETTINGS, folder)
    assert len(synced) >= len(list(entry_of(folder).iterdir())) > 4


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def scrawl(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [cut, scrawl, Path.unlink])
@pytest.mark.parametrize("file", ["image.npy", "labels.npy", "counts.npy", "case.json"])
def test_a_damaged_entry_is_made_again(case, folder, damage, file):
    image = np.array(load_case(case, SETTINGS, folder).image)
    entry = entry_of(folder)
    damage(entry / file)
    again = load_case(case, SETTINGS, folder)
    assert np.array_equal(again.image, image)
    assert again.labels is not None
    assert entries(folder) == [entry.name]


@pytest.mark.parametrize("share", [0.01, 0.04, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("file", ["image.npy", "labels.npy", "counts.npy", "positions.npy", "case.json"])
def test_one_flipped_bit_is_noticed(case, folder, file, share):
    """As a disk may do it: nobody has written, so that size and time stay."""
    before = load_case(case, SETTINGS, folder)
    image, labels, positions = np.array(before.image), np.array(before.labels), [p.positions for p in before.keypoints]
    path = entry_of(folder) / file
    content, stamp = bytearray(path.read_bytes()), path.stat()
    content[int(share * len(content))] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again = load_case(case, SETTINGS, folder)
    assert np.array_equal(again.image, image)
    assert np.array_equal(again.labels, labels)
    assert again.spacing == before.spacing
    assert all(np.array_equal(a.positions, b) for a, b in zip(again.keypoints, positions, strict=True))


def test_a_damaged_entry_that_cannot_be_replaced_is_passed_over(case, folder, monkeypatch):
    image = np.array(load_case(case, SETTINGS, folder).image)
    cut(entry_of(folder) / "image.npy")
    monkeypatch.setattr(cache, "remove_entry", lambda entry: False)
    again = load_case(case, SETTINGS, folder)
    assert np.array_equal(again.image, image)
    assert again.entry is None  # it is in memory


def test_an_entry_of_somebody_else_is_used(case, folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    load_case(case, SETTINGS, folder)
    forbid(monkeypatch)
    monkeypatch.setattr(os, "utime", refuse)
    assert load_case(case, SETTINGS, folder).image.shape == (3, 40, 36)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_an_entry_is_as_open_to_others_as_any_new_folder(case, folder):
    load_case(case, SETTINGS, folder)
    entry = entry_of(folder)
    (folder / "plain").mkdir()
    assert entry.stat().st_mode == (folder / "plain").stat().st_mode


def test_a_stop_is_not_taken_for_another_process(case, folder, monkeypatch):
    def stop(source, target):
        target.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        load_case(case, SETTINGS, folder)


def test_labels_of_another_grid_are_refused(case, folder, tmp_path):
    wrong = write(tmp_path / "wrong.nrrd", np.zeros((3, 40, 35), np.uint8))
    with pytest.raises(InputError, match=r"wrong\.nrrd.*\(3, 40, 35\).*does not match"):
        load_case(Case("heart", "anna", case.image, wrong), SETTINGS, folder)
    assert entries(folder) == []


def test_a_missing_file_is_named(case, folder, tmp_path):
    with pytest.raises(InputError, match=r"gone\.nii: does not exist"):
        load_case(Case("a", "a", tmp_path / "gone.nii"), SETTINGS, folder)


def test_all_cases_with_progress_in_a_folder_that_is_made(case, tmp_path):
    events = []
    found = cache_cases([case, case], SETTINGS, open_cache(tmp_path / "new" / "place"), events.append)
    assert [c.name for c in found] == ["heart", "heart"]
    assert isinstance(events[-1], Progress)
    assert (events[-1].done, events[-1].total) == (2, 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cache folder"):
        open_cache(tmp_path / "file")
