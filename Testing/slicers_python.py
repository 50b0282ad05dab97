"""A Python that has Slicer's own packages and none of KAF's: whatever else is imported is not there.

Slicer brings more (pip, pydicom and others), but these are all that KAF's code in Slicer's process may count on. In
effect from :func:`pretend` on, in this process only; what is a process of its own has all that is installed.
"""

import importlib.abc
import os
import stat
import sys
from pathlib import Path

OWN = ("numpy", "scipy", "SimpleITK", "vtk", "vtkmodules", "packaging",
       "requests", "urllib3", "certifi", "idna", "charset_normalizer", "chardet")
OURS = ("kaf", "KAFSegmentation", "KAFSegmentationLib", "KAFPretrain", "KAFPretrainLib")
KAFS = ("torch", "monai", "safetensors", "pydantic", "pydantic_core", "pydantic_settings", "cv2", "skimage", "PIL",
        "tqdm", "einops", "filelock", "platformdirs", "pooch", "submitit", "psutil", "jinja2",
        "markupsafe")
"""What comes with KAF's set-up, or came with it."""


class _Missing(importlib.abc.MetaPathFinder):
    def __init__(self, known):
        self.known = known

    def find_spec(self, fullname, path=None, target=None):
        """Nothing is found by this one; what is not known is not looked for by the others either."""
        name = fullname.partition(".")[0]
        if name not in self.known and not name.startswith("_sysconfigdata"):  # made when Python was built
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def pretend(*more):
    """From now on only the standard library, Slicer's packages, KAF's modules and ``more`` can be imported."""
    early = sorted({name.partition(".")[0] for name in sys.modules} & set(KAFS))
    assert not early, f"{early} were imported before"
    sys.meta_path.insert(0, _Missing({*sys.stdlib_module_names, *OWN, *OURS, *more}))


def other_python(folder):
    """A Python outside Slicer that has KAF's packages: this one, under another name."""
    path = Path(folder) / "other-python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def environment(**changes):
    """For a process that finds these modules and KAF's."""
    root = Path(__file__).resolve().parents[1]
    folders = [root / name for name in ("Testing", "Testing/panels", "KAFSegmentation", "KAFPretrain")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1", **changes}
