"""Numbers and pictures of a run in a CSV file, TensorBoard or MLflow, beside the run folder's own events.

One sink on the events of a run: each :class:`Metric` becomes scalars at its step, each :class:`Picture` an image.  The
two packages are extras of KAF's (``pip install "kaf-segmentation[tensorboard]"``, ``[mlflow]``) and are imported when a
run asks for them.  Where what is written goes is each package's own affair: TensorBoard's files lie in the run folder
under ``tensorboard``; MLflow goes by its environment variables (``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from kaf.runtime import json_files
from kaf.runtime.errors import Cancelled, SettingsError
from kaf.runtime.events import Event, Message, Metric, OnEvent, Picture
from kaf.runtime.files import atomic_write

FINISHED, FAILED, STOPPED = "FINISHED", "FAILED", "KILLED"
"""How a run ended, in MLflow's words."""
_LONGEST = 500  # characters of a parameter that MLflow takes


class Tracker(Protocol):
    """Where the numbers and pictures of one run go."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Named numbers at a step."""

    def picture(self, step: int, title: str, path: Path) -> None:
        """A PNG that was written at about this step."""

    def close(self, ending: str) -> None:
        """The run is over: FINISHED, FAILED or STOPPED."""


@contextmanager
def tracked(kind: str, folder: Path, settings: Mapping[str, Any], on_event: OnEvent) -> Iterator[OnEvent]:
    """``on_event``, which also feeds the tracker ``kind`` ("none", "csv", "tensorboard", "mlflow"); closed with the
    block.

    A tracker that fails (a full disk, a server that is down) is left out with a warning: the run goes on without it.

    Args:
        folder: the run folder.
        settings: of the run, JSON-ready.

    Raises:
        SettingsError: the tracker's package is not installed.
    """
    if kind == "none":
        yield on_event
        return
    package, make = _TRACKERS[kind]
    if package and find_spec(package) is None:
        raise SettingsError("log", f"{kind} needs the Python package {package}, which is not installed",
                            f"Install it with `pip install {package}`, or leave --log out.")
    sink = _Sink(kind, lambda: make(folder, settings), on_event)
    ending = FAILED
    try:
        yield sink
        ending = FINISHED
    except (KeyboardInterrupt, Cancelled):
        ending = STOPPED
        raise
    finally:
        sink.close(ending)


class _Sink:
    """Passes events on, and to a tracker, which is made for the first of them: processes that do not lead have none."""

    def __init__(self, kind: str, make: Callable[[], Tracker], on_event: OnEvent):
        self._kind, self._make, self._on_event = kind, make, on_event
        self._tracker: Tracker | None = None
        self._failed = False
        self._step = 0

    def __call__(self, event: Event) -> None:
        self._on_event(event)
        if isinstance(event, Metric):
            self._step = event.step
            self._try(lambda tracker: tracker.scalars(event.step, event.values))
        elif isinstance(event, Picture):
            self._try(lambda tracker: tracker.picture(self._step, event.title, Path(event.path)))

    def close(self, ending: str) -> None:
        if self._tracker is not None:
            self._try(lambda tracker: tracker.close(ending))

    def _try(self, do: Callable[[Tracker], None]) -> None:
        if self._failed:
            return
        try:
            self._tracker = self._tracker or self._make()
            do(self._tracker)
        except Exception as error:  # whatever it is, it must not end hours of training
            self._failed = True
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self._on_event(Message(f"The run goes on without {self._kind}, which failed ({reason}).", "warning"))


class _CSV:
    """``metrics.csv`` in the run folder: step, metric, value, a line for each number.

    A run that goes on repeats the steps since its last checkpoint: the last line of a step and metric counts.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        path = folder / "metrics.csv"
        new = not path.is_file()
        self._file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        if new:
            self._writer.writerow(("step", "metric", "value"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._writer.writerows((step, name, repr(float(value))) for name, value in values.items())
        self._file.flush()

    def picture(self, step: int, title: str, path: Path) -> None:
        """Pictures are files of the run folder already."""

    def close(self, ending: str) -> None:
        self._file.close()


class _TensorBoard:
    """Event files under ``tensorboard`` in the run folder, which ``tensorboard --logdir`` shows."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self._folder, self._settings = folder / "tensorboard", settings
        self._writer: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._at(step).add_scalar(name, value, step)

    def picture(self, step: int, title: str, path: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._at(step).add_image(title, pixels, step, dataformats="HWC")

    def close(self, ending: str) -> None:
        if self._writer is not None:
            self._writer.close()

    def _at(self, step: int) -> Any:
        """The writer.  A run that goes on repeats the steps since its last checkpoint: the earlier ones are dropped."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
            self._writer.add_text("settings", "```json\n" + json.dumps(self._settings, indent=1) + "\n```", step)
        return self._writer


class _MLflow:
    """An MLflow run of the run folder's name; a run that goes on goes on in the same one."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        import mlflow

        self._mlflow = mlflow
        kept = folder / "mlflow.json"
        earlier = json_files.parse(kept.read_bytes())["run"] if kept.is_file() else None
        self._run = mlflow.start_run(run_id=earlier, run_name=None if earlier else folder.name).info.run_id
        if earlier is None:
            atomic_write(kept, json.dumps({"run": self._run}) + "\n")
            mlflow.log_params({name: str(value)[:_LONGEST] for name, value in settings.items()})
        mlflow.log_dict(dict(settings), "settings.json")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        # MLflow takes no other characters in names.
        self._mlflow.log_metrics({re.sub(r"[^\w\-. /]", "_", name): value for name, value in values.items()}, step=step)

    def picture(self, step: int, title: str, path: Path) -> None:
        self._mlflow.log_artifact(str(path), "pictures")

    def close(self, ending: str) -> None:
        self._mlflow.end_run(ending)


_TRACKERS: dict[str, tuple[str, Callable[[Path, Mapping[str, Any]], Tracker]]] = {
    "csv": ("", _CSV), "tensorboard": ("tensorboard", _TensorBoard), "mlflow": ("mlflow", _MLflow)}
