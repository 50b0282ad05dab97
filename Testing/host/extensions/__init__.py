"""Extensions that a test can have installed or not."""

import sys
from pathlib import Path

import slicer

HERE = Path(__file__).parent


def add_extension(name: str) -> None:
    """From now on the extension is installed: its modules can be imported (PyTorch: PyTorchUtils)."""
    slicer.app.extensionsManagerModel()._installed.append(name)
    folder = str(HERE / name)
    if (HERE / name).is_dir() and folder not in sys.path:
        sys.path.insert(0, folder)


def remove_extension(name: str) -> None:
    """From now on the extension is not installed."""
    known = slicer.app.extensionsManagerModel()._installed
    if name in known:
        known.remove(name)
    folder = str(HERE / name)
    if folder in sys.path:
        sys.path.remove(folder)
    for path in (HERE / name).glob("*.py"):
        sys.modules.pop(path.stem, None)
