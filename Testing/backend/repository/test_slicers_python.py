"""What runs in Slicer's own process needs nothing that Slicer does not ship, though another Python has it all."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_models import tiny_model
from small_models import write_phantoms

from slicers_python import KAFS, environment, other_python

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("KAFSegmentation/KAFSegmentation.py", "KAFSegmentation/KAFSegmentationLib", "KAFSegmentation/Resources",
          "KAFPretrain/KAFPretrain.py", "KAFPretrain/KAFPretrainLib")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the other Python is a shell script")


def imports_of_the_modules() -> set[tuple[str, str]]:
    """Every ``from kaf.x import y`` and ``import kaf.x`` of both modules' Python files, wherever in them it stands."""
    found = set()
    for place in PLACES:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {(alias.name, "") for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found |= {(node.module, alias.name) for alias in node.names}
    return {pair for pair in found if pair[0].partition(".")[0] == "kaf"}


def run(script: str, *arguments: object, **changes: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True,
                          check=False, env=environment(**changes))
    assert done.returncode == 0, done.stderr
    return done.stdout


IMPORT = """
import importlib, json, sys
from slicers_python import pretend
pretend()
for module, name in json.loads(sys.argv[1]):
    found = importlib.import_module(module)
    if name and not hasattr(found, name):
        importlib.import_module(f"{module}.{name}")
print(sorted(sys.modules))
"""


def test_the_pretence_is_one():
    refused = "\n".join(f"try:\n    import {name}\nexcept ModuleNotFoundError as error:\n    print(error.name)"
                        for name in KAFS)
    assert run(f"from slicers_python import pretend\npretend()\n{refused}").split() == list(KAFS)
    run("from slicers_python import pretend\npretend()\nimport numpy, scipy.ndimage, SimpleITK, packaging, requests")


def test_all_that_both_modules_import_is_there():
    wanted = sorted(imports_of_the_modules())
    assert {"kaf.modelfile.library", "kaf.modelfile.card", "kaf.worker.client", "kaf.imaging.grid", "kaf.data.splits",
            "kaf.settings.methods"} <= {
        module for module, _ in wanted} | {f"{module}.{name}" for module, name in wanted}
    loaded = run(IMPORT, json.dumps(wanted))
    assert not any(f"'{name}'" in loaded for name in KAFS)


LIBRARY = """
import sys
from pathlib import Path
from slicers_python import pretend
pretend()
from kaf.modelfile import library
from kaf.runtime.errors import ModelError
model, other, damaged, out = map(Path, sys.argv[1:5])
assert library.adopt_model(model).name == "tiny"
assert library.adopt_model(model).name == "tiny"
assert library.adopt_model(other).name == "tiny-2"
assert library.keep_model(model, "mine").card.name == "mine"
assert library.change_card("mine", description="My own.").card.description == "My own."
for path in (damaged, out / "absent.safetensors"):
    try:
        library.adopt_model(path)
    except ModelError as error:
        print("refused:", error.reason.partition(" (")[0])
(library.user_folder() / ".0a1b2c3d-half.safetensors").write_bytes(model.read_bytes()[:100])
(library.user_folder() / "text.safetensors").write_text("no model")
own = [entry for entry in library.list_models() if not entry.bundled]
print([entry.name for entry in own], list(library.refused_models()))
assert {entry.name for entry in library.list_models() if entry.bundled} >= {"cardiac-mr-sax", "hippocampus-mr"}
library.export_model("mine", out / "exported.safetensors")
for name in ("tiny-2", "text"):
    library.remove_model(name)
print(sorted(path.name for path in library.user_folder().iterdir()))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two models of one name, and a damaged one."""
    folder = tmp_path_factory.mktemp("files")
    model = tiny_model(folder / "model.safetensors", spacing=3.0)
    other = tiny_model(folder / "other.safetensors", seed=1)
    damaged = folder / "damaged.safetensors"
    damaged.write_bytes(tiny_model(damaged, seed=2).read_bytes()[:-1] + b"!")
    return model, other, damaged


def test_the_library_is_listed_filled_and_emptied(files, tmp_path):
    reported = run(LIBRARY, *files, tmp_path, XDG_DATA_HOME=str(tmp_path / "data")).splitlines()
    assert reported == ["refused: its weights do not have the SHA-256 that its card states",
                        "refused: cannot be opened",
                    "['mine', 'tiny-2', 'tiny'] ['text']", "['mine.safetensors', 'tiny.safetensors']"]
    assert (tmp_path / "exported.safetensors").read_bytes() == (
        tmp_path / "data" / "kaf" / "models" / "mine.safetensors").read_bytes()


OUTSIDE = """
import sys
from pathlib import Path
from slicers_python import pretend
pretend()
from kaf.modelfile import library
from kaf.worker.client import Client
from kaf.imaging.volume import read_volume
python, model, scan, log = sys.argv[1:5]
scan = read_volume(scan)
library.keep_model(Path(model), "mine")
with Client(python=python, log=log, threads=1) as client:
    result = client.request("segment", {"model": "mine", "device": "cpu", "precision": "fp32"},
                            {"image": (scan.voxels, scan.affine)})
    assert result["arrays"]["labels"][0].shape == scan.voxels.shape
    drawn, _ = result["arrays"]["labels"]
    drawn = drawn.copy()
    drawn[1, 10:30, 10:30] = 1
    adapted = client.request("adapt", {"model": "mine", "seconds": 1, "patch": 48, "batch": 1, "device": "cpu"},
                             {"image": (scan.voxels, scan.affine), "drawn": (drawn, scan.affine)})
    library.keep_model(Path(adapted["model"]), "adapted")
print([entry.name for entry in library.list_models() if not entry.bundled])
"""


def test_another_python_does_the_work_and_its_model_is_kept(files, tmp_path):
    """From a scan to an adapted model in the library, in one process without KAF's packages and one that has them."""
    scan = write_phantoms(tmp_path / "scans", ("p1",)) / "p1.nii.gz"
    reported = run(OUTSIDE, other_python(tmp_path), files[0], scan, tmp_path / "log",
               XDG_DATA_HOME=str(tmp_path / "data"))
    assert reported.splitlines()[-1] == "['adapted', 'mine']"


JOBS = """
import sys, time
from slicers_python import pretend
pretend()
from kaf.runs import start as jobs
from kaf.modelfile.card import read_card
python, data, run, cache = sys.argv[1:5]
values = {"data": data, "steps": 2, "threads": 1, "device": "cpu", "precision": "fp32", "patch": 32, "batch": 2,
          "name": "short", "cache": cache, "keypoints": {"limit": 24}, "network": {
              "width": 4, "decoder_width": 8, "blocks": 1, "token_width": 8, "heads": 2, "diffusion_width": 4}}
job = jobs.start(python, "finetune", values, run)
while job.state() in jobs.ALIVE:
    time.sleep(0.05)
(found,) = jobs.find(run)
print(found.state(), found.error, read_card(found.model).name, found.command.startswith("kaf finetune"))
"""


def test_another_python_trains_and_the_run_is_read(tmp_path):
    data = write_phantoms(tmp_path / "scans", ("p1", "p2"))
    reported = run(JOBS, other_python(tmp_path), data, tmp_path / "run", tmp_path / "cache",
               XDG_STATE_HOME=str(tmp_path / "state"))
    assert reported.split() == ["finished", "short", "True"]
