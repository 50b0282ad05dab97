"""A folder of segmentations is used again: with another model, other scans, other settings, after a person's work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from made_models import HERE, RUN, tiny_model
from small_models import write_phantoms

from kaf.cli import entry as cli
from kaf.cohort.worst_first import OVERVIEW
from kaf.data.folder import scan_folder
from kaf.runtime.errors import OutputError
from kaf.runtime.events import Message
from kaf.runtime.files import file_digest
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment_folder import segment_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [tiny_model(folder / f"{name}.safetensors", seed, name=name, spacing=3.0)
            for seed, name in enumerate(("first", "second"))]


def scans(folder: Path, *names: str) -> Path:
    """Phantoms whose files have the size of their voxels, whatever these are."""
    for file in list(write_phantoms(folder, names).iterdir()):
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(file)), str(file.with_suffix("")))
        file.unlink()
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    return scans(tmp_path / "scans", "p1", "p2")


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "done"


def run(data: Path, output: Path, model: Path, overwrite: bool = False, suffix: str = ".seg.nrrd", on_event=None,
        **more):
    reported: list = []
    return segment_folder(scan_folder(data).cases, SegmentSettings(model=str(model), **RUN, **more), output,
                        suffix=suffix, overwrite=overwrite, on_event=on_event or reported.append)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name != OVERVIEW}


def report(folder: Path, name: str = "p1") -> dict:
    return json.loads((folder / f"{name}-seg.json").read_text())


def change(scan: Path) -> None:
    """Another scan in the place of that one, of the same size, with the same time."""
    before = scan.stat()
    image = SimpleITK.ReadImage(str(scan))
    voxels = SimpleITK.GetArrayFromImage(image)
    other = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels[:, ::-1]))
    other.CopyInformation(image)
    SimpleITK.WriteImage(other, str(scan))
    os.utime(scan, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (scan.stat().st_size, scan.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_second_model_into_the_same_folder_is_refused_and_replaces_whole_sets_when_asked(data, output, models):
    run(data, output, models[0], attention=True)
    before = content(output)
    with pytest.raises(OutputError, match=r"p1-seg\.json: is a result of another model \(first\)\. .*--overwrite"):
        run(data, output, models[1])
    assert content(output) == before
    outcome = run(data, output, models[1], overwrite=True)
    assert (outcome.written, outcome.kept) == (["p1", "p2"], [])
    assert content(output).keys() == {"p1.seg.nrrd", "p1-seg.json", "p2.seg.nrrd", "p2-seg.json"}, \
        "the attention of the first model lies beside the labels of the second"
    for name in ("p1", "p2"):
        assert report(output, name)["model"] == "second"
        assert (output / f"{name}.seg.nrrd").read_bytes() != before[f"{name}.seg.nrrd"]
    assert run(data, output, models[1]).kept == ["p1", "p2"]


def test_a_second_model_for_other_scans_in_the_same_folder_is_refused_or_told(data, output, models, tmp_path):
    run(data, output, models[0])
    before = content(output)
    more = scans(tmp_path / "more", "q1")
    with pytest.raises(OutputError, match=r"done: contains results of another model \(first\) .*: p1-seg.json, p2"):
        run(more, output, models[1])
    assert content(output) == before
    reported: list = []
    assert run(more, output, models[1], overwrite=True, on_event=reported.append).written == ["q1"]
    assert any(isinstance(event, Message) and event.level == "warning" and "p1-seg.json" in event.text
               for event in reported)
    assert before.items() <= content(output).items()
    assert run(more, output, models[0], overwrite=True).written == ["q1"]


def test_a_scan_that_was_replaced_under_its_name_is_another_scan(data, output, models):
    run(data, output, models[0])
    before = content(output)
    change(data / "p1.nii")
    with pytest.raises(OutputError, match=r"p1-seg\.json: was made from another scan of that name.*--overwrite"):
        run(data, output, models[0])
    assert content(output) == before
    outcome = run(data, output, models[0], overwrite=True)
    assert (outcome.written, outcome.kept) == (["p1"], ["p2"])
    assert content(output)["p1.seg.nrrd"] != before["p1.seg.nrrd"]
    assert run(data, output, models[0]).kept == ["p1", "p2"]


@pytest.fixture
def detached(data) -> Path:
    """The scans with their voxels in files of their own."""
    for name in ("p1", "p2"):
        image = SimpleITK.ReadImage(str(data / f"{name}.nii"))
        (data / f"{name}.nii").unlink()
        (data / f"{name}_gt.nii").unlink()
        SimpleITK.WriteImage(image, str(data / (f"{name}.mhd" if name == "p1" else f"{name}.nhdr")))
    return data


def test_voxels_beside_their_header_belong_to_the_scan(detached, output, models):
    run(detached, output, models[0])
    for voxels in (*detached.glob("*.raw*"), *detached.glob("*.zraw")):
        before = voxels.stat()
        values = bytearray(voxels.read_bytes())
        values[len(values) // 2] ^= 1
        voxels.write_bytes(values)
        os.utime(voxels, ns=(before.st_atime_ns, before.st_mtime_ns))
    for name in ("p1", "p2"):
        with pytest.raises(OutputError, match="was made from another scan of that name"):
            run(detached, output, models[0])
        (output / f"{name}-seg.json").unlink()
        (output / f"{name}.seg.nrrd").unlink()


def test_a_scan_that_was_copied_or_touched_is_the_same_scan(data, output, models, tmp_path):
    run(data, output, models[0])
    copy = shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(data / "p1.nii", (1, 1))
    assert run(data, output, models[0]).kept == ["p1", "p2"]
    assert run(copy, output, models[0]).kept == ["p1", "p2"]
    assert run(copy, Path(shutil.copytree(output, tmp_path / "moved")), models[0]).kept == ["p1", "p2"]


def test_a_report_that_does_not_say_which_scan_it_saw_is_not_believed(data, output, models):
    run(data, output, models[0])
    for name in ("p1", "p2"):
        words = {key: value for key, value in report(output, name).items() if key not in ("input_file", "files")}
        (output / f"{name}-seg.json").write_text(json.dumps(words))
    with pytest.raises(OutputError, match="made by a version of KAF that did not record the scan"):
        run(data, output, models[0])
    assert run(data, output, models[0], overwrite=True).written == ["p1", "p2"]


def test_what_a_person_corrected_is_kept_whatever_is_asked(data, output, models):
    run(data, output, models[0])
    (output / "p1.seg.nrrd").write_bytes(b"corrected by hand")
    assert run(data, output, models[0]).kept == ["p1", "p2"]
    before = content(output)
    with pytest.raises(OutputError, match=r"p1\.seg\.nrrd: was changed since KAF wrote it. Move it"):
        run(data, output, models[1], overwrite=True)
    with pytest.raises(OutputError, match=r"p1\.seg\.nrrd: was changed since KAF wrote it"):
        run(data, output, models[0], overwrite=True, suffix=".nii.gz")
    assert content(output) == before


def test_another_format_replaces_the_files_of_the_first_when_asked(data, output, models):
    run(data, output, models[0])
    with pytest.raises(OutputError, match=r"p1-seg\.json: lists other files: p1-seg\.json, p1\.seg\.nrrd"):
        run(data, output, models[0], suffix=".nii.gz")
    run(data, output, models[0], suffix=".nii.gz", overwrite=True)
    assert content(output).keys() == {"p1.nii.gz", "p1-seg.json", "p2.nii.gz", "p2-seg.json"}


def test_no_result_takes_the_place_of_a_scan_or_a_label_map(data, models, capsys):
    before = content(data)
    for name, suffix in (("scans", ".nii"), ("scans", "_gt.nii")):
        command = ["segment", str(data), "--model", str(models[0]), "--output", str(data.parent / name), "--suffix",
                   suffix, "--overwrite", *HERE]
        assert cli.main(command) == 1
        assert "is a scan or a label map of the folder that is read" in capsys.readouterr().err
        assert content(data) == before
    assert sorted(path.name for path in data.iterdir()) == sorted(before)


def test_the_report_tells_the_scan_and_the_files(data, output, models):
    run(data, output, models[0], uncertainty=True)
    words = report(output)
    assert words["files"] == {name: file_digest(output / name) for name in ("p1.seg.nrrd", "p1-uncertainty.nrrd")}
    assert words["input_file"]["sha256"] == file_digest(data / "p1.nii")
    assert words["input_file"]["size"] == (data / "p1.nii").stat().st_size


def test_a_single_scan_segmented_again_leaves_nothing_of_the_other_model(data, models, tmp_path, capsys):
    command = ["segment", str(data / "p1.nii"), "--output", str(tmp_path / "one" / "p1.seg.nrrd"), *HERE]
    (tmp_path / "one").mkdir()
    assert cli.main([*command, "--model", str(models[0]), "--attention"]) == 0
    assert cli.main([*command, "--model", str(models[1])]) == 1
    assert "exists already" in capsys.readouterr().err
    assert cli.main([*command, "--model", str(models[1]), "--overwrite"]) == 0
    assert content(tmp_path / "one").keys() == {"p1.seg.nrrd", "p1-seg.json"}
    assert report(tmp_path / "one")["model"] == "second"


@pytest.mark.parametrize("name", ["p1-uncertainty.nrrd", "p1-seg.json"])
def test_a_file_whose_name_nobody_gave_is_not_replaced(data, models, tmp_path, capsys, name):
    (tmp_path / name).write_text('{"mine": 1}')
    command = ["segment", str(data / "p1.nii"), "--output", str(tmp_path / "p1.seg.nrrd"), "--uncertainty",
               "--overwrite", "--model", str(models[0]), *HERE]
    assert cli.main(command) == 1
    assert f"{name}: was not written by KAF, or was changed since" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == '{"mine": 1}'
    assert not (tmp_path / "p1.seg.nrrd").exists()
    (tmp_path / name).unlink()
    assert cli.main(command) == 0
    assert cli.main(command) == 0


def test_a_process_killed_while_its_files_took_their_places_is_in_nobodys_way(data, models, tmp_path):
    """One file has its name, and the report that tells of it has not."""
    command = ["segment", str(data / "p1.nii"), "--output", str(tmp_path / "p1.seg.nrrd"), "--uncertainty",
               "--model", str(models[0]), *HERE]
    assert cli.main(command) == 0
    (tmp_path / "p1.seg.nrrd").unlink()
    (tmp_path / "p1-seg.json").rename(tmp_path / ".0123abcd-p1-seg.json")
    assert cli.main([*command, "--overwrite"]) == 0
    assert {"p1.seg.nrrd", "p1-uncertainty.nrrd", "p1-seg.json"} <= content(tmp_path).keys()


def test_a_finished_result_that_a_disk_damaged_is_named_and_a_corrected_one_is_kept(data, output, models):
    """A person who corrects a segmentation saves it later than KAF did; a flipped bit leaves the time as it was."""
    run(data, output, models[0])
    path = output / "p1.seg.nrrd"
    sound, stamp = path.read_bytes(), path.stat()
    path.write_bytes(sound[:-9] + bytes([sound[-9] ^ 4]) + sound[-8:])
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(OutputError, match=r"p1\.seg\.nrrd: is damaged"):
        run(data, output, models[0])
    later = (output / "p1-seg.json").stat().st_mtime_ns + 10 ** 9
    os.utime(path, ns=(later, later))
    corrected = path.read_bytes()
    run(data, output, models[0])
    assert path.read_bytes() == corrected
