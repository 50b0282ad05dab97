"""A folder of segmentations that is made or replaced, and killed at every change of the disk: no set is ever mixed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import segment_toys
import SimpleITK
from kill_toys import KILLED, server
from small_models import write_phantoms

from kaf.runtime.files import file_digest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork")
WHOLE = {"1": {"p1.seg.nrrd", "p1-seg.json", "p1-uncertainty.nrrd"}, "2": {"p1.seg.nrrd", "p1-seg.json"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("scans"), ("p1",))


@pytest.fixture(scope="module")
def child():
    with server(segment_toys) as ask:
        yield lambda data, output, model, how="", end=0: ask(end, data, output, model, how)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()


def model_of(folder: Path) -> str:
    """The model of the result that is there, by its report, which is true; "" where there is no report."""
    if not (folder / "p1-seg.json").exists():
        return ""
    report = json.loads((folder / "p1-seg.json").read_text())
    model, found = report["model_digest"][0], names(folder)
    assert {"p1.seg.nrrd", "p1-seg.json"} <= found <= WHOLE[model] == {*report["files"], "p1-seg.json"}
    for name in found - {"p1-seg.json"}:
        assert report["files"][name] == file_digest(folder / name)
    assert set(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "p1.seg.nrrd"))).ravel()) == {int(model)}
    return model


@pytest.mark.parametrize("then", ["same", "earlier", "overwrite"])
def test_a_set_that_is_replaced_is_the_old_one_or_the_new_one_or_says_that_it_is_none(tmp_path, data, child, then):
    first, output, moments, seen = tmp_path / "first", tmp_path / "done", 0, []
    assert child(data, first, "1") == 0
    assert model_of(first) == "1"
    while True:
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(first, output)
        code = child(data, output, "2", "overwrite", moments + 1)
        if code != KILLED:
            break
        moments += 1
        seen.append(model_of(output))
        if then == "same":  # without --overwrite: only what was interrupted is done, nothing else is replaced
            assert child(data, output, "2") == (1 if seen[-1] == "1" else 0)
            assert model_of(output) == ("1" if seen[-1] == "1" else "2")
        elif then == "earlier":
            assert child(data, output, "1") == (1 if seen[-1] == "2" else 0)
            assert model_of(output) == ("2" if seen[-1] == "2" else "1")
            assert names(output) == WHOLE[model_of(output)]
        else:
            assert child(data, output, "2", "overwrite") == 0
            assert model_of(output) == "2"
            assert names(output) == WHOLE["2"]
        if then == "overwrite" or seen[-1] == "":
            assert not [path.name for path in output.iterdir() if path.name.startswith(".")]
    assert code == 0
    assert moments > 8
    assert set(seen) == {"1", "", "2"}


def test_a_set_that_is_made_is_there_or_says_that_it_is_none(tmp_path, data, child):
    output, moments, seen = tmp_path / "done", 0, []
    while True:
        shutil.rmtree(output, ignore_errors=True)
        if child(data, output, "1", "", moments + 1) != KILLED:
            break
        moments += 1
        seen.append(model_of(output))
        assert child(data, output, "1") == 0
        assert model_of(output) == "1"
        assert not [path.name for path in output.iterdir() if path.name.startswith(".")]
    assert moments > 8
    assert set(seen) == {"1", ""}


def test_a_drawing_put_where_a_killed_process_left_nothing_stays(tmp_path, data, child):
    """The mark of a process that was killed is no leave to replace what somebody puts there afterwards."""
    output, moments, drawn = tmp_path / "done", 0, 0
    while True:
        shutil.rmtree(output, ignore_errors=True)
        if child(data, output, "1", "", moments + 1) != KILLED:
            break
        moments += 1
        if output.is_dir() and not (output / "p1-seg.json").exists():
            drawn += 1
            (output / "p1.seg.nrrd").write_bytes(b"drawn by hand")
            assert child(data, output, "1", "overwrite") == 1
            assert (output / "p1.seg.nrrd").read_bytes() == b"drawn by hand"
    assert drawn > 4
