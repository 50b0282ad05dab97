"""The check of the ExtensionsIndex's rules passes a good extension and names what is wrong with a bad one."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "Resources" / "scripts" / "check_extension.py"
sys.path.insert(0, str(SCRIPT.parent))

from check_extension import SCHEMA, check  # noqa: E402

CMAKE = """cmake_minimum_required(VERSION 3.16.3)
project(Spleens)
set(EXTENSION_HOMEPAGE "https://github.com/us/SlicerSpleens")
set(EXTENSION_CONTRIBUTORS "Us")
set(EXTENSION_DESCRIPTION "Finds spleens in CT.")
set(EXTENSION_ICONURL "https://raw.githubusercontent.com/us/SlicerSpleens/main/Resources/Spleens.png")
set(EXTENSION_SCREENSHOTURLS "https://raw.githubusercontent.com/us/SlicerSpleens/main/Screen.png")
set(EXTENSION_DEPENDS "PyTorch")
find_package(Slicer REQUIRED)
include(${Slicer_USE_FILE})
add_subdirectory(Spleens)
include(${Slicer_EXTENSION_GENERATE_CONFIG})
include(${Slicer_EXTENSION_CPACK})
"""
README = """# Spleens

Finds spleens in CT volumes.

![a spleen](Screen.png)

## Modules
* Spleens: outlines the spleen of the volume that you choose.

## Tutorial
Get the volume CTACardio from Sample Data and press Apply.

## Safety and privacy
Nothing leaves your computer.

## Licence
Apache-2.0. The licence of the weights is CC BY 4.0. Cite https://doi.org/10.1/1.
"""
MODULE = """import os
import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
from SpleensLib import Logic


class SpleensWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        pass

    def onApply(self):
        slicer.packaging.pip_ensure(["monai"], skip_packages=["torch"])
"""
LOGIC = "from .Helper import help\n\ndef segment():\n    import monai\n    return monai, help\n"


def png(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height))


@pytest.fixture
def extension(tmp_path):
    """The folder of an extension with which nothing is wrong."""
    entry = {"$schema": SCHEMA, "build_dependencies": ["PyTorch"], "build_subdirectory": ".",
             "category": "Segmentation", "scm_revision": "main", "tier": 1,
             "scm_url": "https://github.com/us/SlicerSpleens"}
    files = {
        "CMakeLists.txt": CMAKE, "README.md": README, "LICENSE": "Apache", "Resources/Spleens.json": json.dumps(entry),
        "Spleens/CMakeLists.txt": "slicerMacroBuildScriptedModule()", "Spleens/Spleens.py": MODULE,
        "Spleens/SpleensLib/__init__.py": "from .Logic import segment\n", "Spleens/SpleensLib/Logic.py": LOGIC,
        "Spleens/SpleensLib/Helper.py": "help = 1\n", "Spleens/Resources/Icons/Spleens.svg": "<svg/>",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8", newline="\n")
    png(tmp_path / "Resources/Spleens.png", 128, 128)
    png(tmp_path / "Screen.png", 1500, 950)
    png(tmp_path / "Spleens/Resources/Icons/Spleens.png", 64, 64)
    return tmp_path


def problems(folder: Path) -> list[str]:
    return [problem for found in check(folder).values() for problem in found]


def change(folder: Path, name: str, old: str, new: str) -> list[str]:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8", newline="\n")
    return problems(folder)


def test_a_good_extension_passes(extension):
    assert problems(extension) == []


@pytest.mark.parametrize(("name", "old", "new", "said"), [
    ("CMakeLists.txt", "project(Spleens)", "project(Livers)", "Resources/Livers.json is missing"),
    ("CMakeLists.txt", '"PyTorch"', '"NA"', "EXTENSION_DEPENDS and build_dependencies differ"),
    ("CMakeLists.txt", 'main/Resources/Spleens.png")', 'main/\nResources/Spleens.svg")', "is not the address of"),
    ("CMakeLists.txt", "EXTENSION_SCREENSHOTURLS", "EXTENSION_SCREENSHOTS", "set(EXTENSION_SCREENSHOTURLS"),
    ("CMakeLists.txt", "main/Screen.png", "main/Other.png", "Other.png, which EXTENSION_SCREENSHOTURLS points to"),
    ("CMakeLists.txt", "com/us/SlicerSpleens/main/S", "com/them/SlicerSpleens/main/S", "another repository than"),
    ("CMakeLists.txt", "Finds spleens in CT.", "This is an example", "EXTENSION_DESCRIPTION still says"),
    ("CMakeLists.txt", "Finds spleens in CT.", "Finds; spleens.", "a semicolon in EXTENSION_DESCRIPTION"),
    ("CMakeLists.txt", "include(${Slicer_EXTENSION_CPACK})", "", "include(${Slicer_EXTENSION_CPACK}) is missing"),
    ("CMakeLists.txt", 'set(EXTENSION_DEPENDS', 'set(EXTENSION_CATEGORY "A")\nset(EXTENSION_DEPENDS',
     "EXTENSION_CATEGORY belongs to"),
    ("CMakeLists.txt", "add_subdirectory(Spleens)", "", "there is no module Spleens"),
    ("Resources/Spleens.json", "/SlicerSpleens", "/Spleens", "the repository's name, Spleens, must start with Slicer"),
    ("Resources/Spleens.json", '"Segmentation"', '"Spleens"', "category 'Spleens' is none"),
    ("Resources/Spleens.json", '"tier": 1', '"tier": 6', "tier must be 1 to 5"),
    ("Resources/Spleens.json", '"tier": 1', '"tier": "1"', "tier must be int"),
    ("Resources/Spleens.json", '"tier": 1', '"keywords": "a"', "keywords is no field of the schema"),
    ("Resources/Spleens.json", "v1.0.1", "v9", "$schema must be"),
    ("Resources/Spleens.json", '"scm_url"', '"url"', "scm_url is missing"),
    ("Resources/Spleens.json", '"main"', '"1a2b3c4d"', "scm_revision should be a branch"),
    ("Resources/Spleens.json", "{", "", "the catalog entry is not a JSON object"),
    ("README.md", "![a spleen](Screen.png)", "", "README.md lacks a picture"),
    ("README.md", "## Tutorial", "## And", "README.md lacks a tutorial"),
    ("README.md", "Sample Data", "somewhere", "README.md lacks where sample data comes from"),
    ("README.md", "Cite https://doi.org/10.1/1", "", "README.md lacks how to cite"),
    ("README.md", "Safety and privacy", "Safety", "README.md lacks a section on privacy"),
    ("README.md", "licence of the weights", "weights", "README.md lacks the licence of the models"),
    ("README.md", "* Spleens: outlines the spleen of the volume that you choose.", "* Spleens",
     "README.md lacks a sentence on the module Spleens"),
    ("Spleens/Spleens.py", "import os", "import torch", "Spleens.py imports torch at file scope"),
    ("Spleens/SpleensLib/Helper.py", "help = 1", "from monai.losses import help", "Helper.py imports monai at"),
    ("Spleens/Spleens.py", "class Sp", "slicer.util.pip_install('monai')\n\nclass Sp", "calls pip_install() when"),
    ("Spleens/SpleensLib/Helper.py", "help = 1", "import subprocess\nhelp = subprocess.Popen([])", "calls Popen()"),
    ("Spleens/Spleens.py", "pass", "slicer.util.pip_install('monai')", "setup() calls pip_install()"),
    ("Spleens/Spleens.py", '["monai"]', '["monai", "torch>=2"]', "pip_ensure() installs torch"),
    ("Spleens/SpleensLib/Logic.py", "return monai, help", "slicer.util.pip_install('torch')", "installs torch; leave"),
])  # fmt: skip
def test_what_is_wrong_is_named(extension, name, old, new, said):
    found = change(extension, name, old, new)
    assert any(said in problem for problem in found), found


def test_windows_line_endings_are_found_in_the_entry_and_elsewhere(extension):
    for name in ("Resources/Spleens.json", "Spleens/Spleens.py"):
        path = extension / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    found = problems(extension)
    assert "it must have LF line endings" in found
    assert any("Spleens.py has CR" in problem for problem in found)


def test_icons_of_the_wrong_size_or_kind(extension):
    png(extension / "Resources/Spleens.png", 64, 128)
    (extension / "Spleens/Resources/Icons/Spleens.png").write_bytes(b"GIF89a")
    (extension / "Spleens/Resources/Icons/Spleens.svg").unlink()
    found = problems(extension)
    assert "Resources/Spleens.png must be a PNG of 128 x 128 pixels, not 64 x 128" in found
    assert "Spleens/Resources/Icons/Spleens.png must be a PNG of 64 x 64 pixels" in found
    assert "Spleens/Resources/Icons/Spleens.svg is missing" in found


def test_the_history_counts_for_the_size_and_an_environment_beside_it_does_not(extension):
    for folder in (".git/objects", ".venv"):
        (extension / folder).mkdir(parents=True)
        with (extension / folder / "large").open("wb") as file:
            file.truncate(101 * 2**20)
        found = [problem for problem in problems(extension) if "MB with its history" in problem]
        assert bool(found) == (folder != ".venv")
        (extension / folder / "large").unlink()


def test_a_licence_must_be_there_and_say_something(extension):
    (extension / "LICENSE").write_text("")
    assert "there is no LICENSE in the top folder" in problems(extension)


def test_the_command_line_ends_with_1_when_a_rule_is_broken(extension):
    def run():
        command = [sys.executable, str(SCRIPT), str(extension)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run().returncode == 0
    (extension / "README.md").unlink()
    done = run()
    assert done.returncode == 1
    assert "FAIL  README.md has what reviewers look for\n      README.md is missing" in done.stdout


def test_this_extension_keeps_the_rules():
    assert problems(ROOT) == []
