"""What the tree promises: layers that import-linter checks, bare __init__.py files, one public function per verb, one
file per command."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kaf.cli.entry import COMMANDS

ROOT = Path(__file__).resolve().parents[3]
KAF = ROOT / "KAFSegmentation/kaf"
PACKAGES = (KAF, ROOT / "KAFSegmentation/KAFSegmentationLib", ROOT / "KAFPretrain/KAFPretrainLib")
_LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml, checked on the packages below ``root``."""
    places = os.pathsep.join(str(root / package.parent.relative_to(ROOT)) for package in PACKAGES[1:])
    return subprocess.run([sys.executable, "-c", _LINT, "--no-cache"], cwd=root, capture_output=True, encoding="utf-8",
                          env={**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": places, "NO_COLOR": "1"})


def test_imports_run_down_the_layers():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_import_that_runs_up_is_found(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / package.relative_to(ROOT), ignore=lambda folder, names: [
            name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()])
    (tmp_path / "KAFSegmentation/kaf/runtime/upward.py").write_text("import vtk\nimport kaf.cli.entry\n")
    (tmp_path / "KAFSegmentation/kaf/verbs/sideways.py").write_text("import kaf.verbs.segment\n")
    (tmp_path / "KAFPretrain/KAFPretrainLib/heavy.py").write_text("def later():\n    import torch\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    for arrow in ("kaf.runtime is not allowed to import kaf.cli", "kaf.verbs.sideways -> kaf.verbs.segment",
                  "kaf.runtime.upward -> vtk", "KAFPretrainLib.heavy -> torch"):
        assert arrow in " ".join(done.stdout.split()), arrow


@pytest.mark.parametrize("path", [path for package in PACKAGES for path in package.rglob("__init__.py")],
                         ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_an_init_file_holds_a_docstring_and_imports_only(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "has no docstring"
    for node in tree.body[1:]:
        names = [target.id for target in node.targets] if isinstance(node, ast.Assign) else []
        assert isinstance(node, ast.Import | ast.ImportFrom) or names == ["__all__"], ast.unparse(node)


def test_hardly_a_file_lies_outside_the_rooms():
    flat = [sorted(path.name for path in package.glob("*.py")) for package in PACKAGES]
    assert flat == [["__init__.py", "__main__.py", "_version.py"], ["SegmentationWidget.py", "__init__.py"],
                    ["PretrainWidget.py", "__init__.py"]]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_file_imports_what_another_keeps_private(package):
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {p.name for p in PACKAGES}:
                private = [alias.name for alias in node.names if alias.name.startswith("_") and alias.name[1] != "_"]
                assert not private, f"{path.relative_to(ROOT)}: {ast.unparse(node)}"


def test_every_command_has_its_file():
    having = {path.stem for path in (KAF / "cli").glob("*.py") if "main" in public_functions(path)}
    assert having - {"entry", "job_process"} == set(COMMANDS)


@pytest.mark.parametrize("path", sorted((KAF / "verbs").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_a_verb_is_one_public_function(path):
    assert public_functions(path) == [path.stem]


def public_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
