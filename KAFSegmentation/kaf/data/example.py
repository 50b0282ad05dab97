"""A folder of synthetic hearts with labels for some of them: to try everything out where there are no scans at hand."""

from __future__ import annotations

import json
from pathlib import Path

from kaf.imaging.write import write_labels, write_map
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import OutputError
from kaf.runtime.events import OnEvent, Ticker, ignore
from kaf.runtime.files import atomic_write, write_problem

LABELS = {1: "right ventricular cavity", 2: "myocardium", 3: "left ventricular cavity"}
_FIRST_SEED = 500_000  # away from those that demonstrations, tests and training use


def make_example(folder: str | Path, cases: int = 16, labelled: int = 10, slices: int = 8, size: int = 96,
                 on_event: OnEvent = ignore) -> Path:
    """Write ``images`` and ``labels`` as .nii.gz, and a dataset.json with the names of the labels; the same every time.

    slices, size: of each scan, with pixels of 2 mm.

    Raises:
        OutputError: the folder holds files already, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(folder, "is not an empty folder", "Choose a new or an empty folder for the synthetic hearts.")
    ticker = Ticker(on_event, "making up hearts", cases)
    try:
        for part in ("images", "labels"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for index in range(cases):
            volume, labels = cardiac_phantom(_FIRST_SEED + index, slices=slices, size=size, spacing=2.0)
            name = f"heart{index + 1:02d}.nii.gz"
            write_map(folder / "images" / name, volume)
            if index < labelled:
                write_labels(folder / "labels" / name, labels, ())
            ticker.update(index + 1)
        words = {"name": "synthetic hearts", "labels": {str(value): name for value, name in LABELS.items()}}
        atomic_write(folder / "dataset.json", json.dumps(words, indent=1) + "\n")
    except OSError as error:
        raise OutputError(folder, *write_problem(error)) from error
    return folder
