"""The page of a training run: its curves, its validation cases, what was trained on what, with which settings.

Everything is read from the files of the run folder: a run that is over, or still going, or was interrupted can be
looked at wherever the folder is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kaf._version import __version__
from kaf.imaging.labels import PALETTE, Label, plain_label
from kaf.modelfile.card import Card, read_card
from kaf.modelfile.verdict import LEAST_DICE, verdict_on
from kaf.report import parts as report
from kaf.report.line_chart import Line, line_chart
from kaf.report.parts import Cell, Column, number
from kaf.runs.tail import read_events
from kaf.runtime import json_files
from kaf.runtime.errors import InputError, KafError, ModelError
from kaf.runtime.events import Error, Event, Message, Metric, OnEvent, Picture, Result
from kaf.runtime.files import atomic_write

NAME = "report.html"
_VALIDATION = "validation "
_ABOUT_THE_RUN = ("gradient norm", "learning rate", "seconds per step", "share waiting for data")
_LARGEST_PICTURE = 20_000_000  # bytes


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds: settings, plan, split and validation (empty where there is none), its events, and the
    card of its model (None while there is none)."""

    folder: Path
    settings: Mapping[str, Any]
    plan: Mapping[str, Any]
    split: Mapping[str, Any]
    validation: Mapping[str, Any]
    events: tuple[Event, ...]
    card: Card | None

    @property
    def labels(self) -> list[Label]:
        """The structures: of the model, else of the plan."""
        if self.card is not None and self.card.labels:
            return list(self.card.labels)
        names = self.settings.get("labels") or {}
        return [plain_label(value, str(names.get(str(value), ""))) for value in self.plan.get("values") or ()]

    def metrics(self) -> Iterator[Metric]:
        """Those that count: a run that went on repeats the steps since its last checkpoint."""
        latest: dict[int, Metric] = {}
        for event in self.events:
            if isinstance(event, Metric):
                before = latest.get(event.step)
                latest[event.step] = event if before is None else Metric(event.step, {**before.values, **event.values})
        yield from (latest[step] for step in sorted(latest))

    @property
    def ending(self) -> Result | Error | None:
        """How it ended; None while it goes on."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, (Result, Error)) else None


def read_run(folder: str | Path) -> RunFiles:
    """The files of a run.

    Raises:
        InputError: the folder holds no run of pretraining or fine-tuning.
    """
    folder = Path(folder)
    settings = _json(folder / "settings.json")
    events, _ = read_events(folder / "events.jsonl")
    if not settings or not (folder / "events.jsonl").is_file():
        raise InputError(folder, "contains no run of pretraining or fine-tuning",
                         "Give the output folder of kaf pretrain or kaf finetune; `kaf jobs FOLDER` lists the runs in "
                         "a folder.")
    try:
        card = read_card(folder / "model.safetensors")
    except (InputError, ModelError, OSError):
        card = None
    return RunFiles(folder, settings, _json(folder / "plan.json"), _json(folder / "split.json"),
                    _json(folder / "validation.json"), tuple(events), card)


def write_run_page(folder: str | Path, path: Path) -> None:
    """Write the page of the run in ``folder`` to ``path``.

    Raises:
        InputError: the folder holds no run.
        OSError: it cannot be written.
    """
    atomic_write(path, run_page(read_run(folder)), overwrite=True)


def with_page(folder: Path, result: Result, on_event: OnEvent) -> Result:
    """The result of a run that is over, after its page was written; it then says where, under ``report``.

    A page that cannot be written is a warning: the model is what counts.
    """
    path = folder / NAME
    result = Result({**result.values, "report": str(path)})
    try:
        run = read_run(folder)
        atomic_write(path, run_page(replace(run, events=(*run.events, result))), overwrite=True)
    except (OSError, KafError) as error:
        on_event(Message(f"The page of the run was not written ({error}). `kaf report {folder}` tries again.",
                         "warning"))
        return Result({name: value for name, value in result.values.items() if name != "report"})
    return result


def run_page(run: RunFiles) -> str:
    """The whole page as HTML."""
    tuned = "few_shot" in run.settings
    parts = [_tiles(run), *_notices(run), _curves(run), *_held_out(run), *_sheets(run), _protocol(run), _settings(run)]
    title = str(run.settings.get("name") or run.folder.name)
    facts = [f"run folder: {run.folder.name}", f"data: {Path(str(run.settings.get('data', ''))).name}"]
    if not tuned:
        facts.append(f"method: {run.settings.get('method', '')}")
    return report.page(title, "Fine-tuning" if tuned else "Pretraining", facts, parts,
                       f"Written by KAF {__version__} from the files of the run. For research use only.")


def _tiles(run: RunFiles) -> Markup:
    metrics = list(run.metrics())
    done = run.ending.values if isinstance(run.ending, Result) else {}
    steps = int(done.get("steps") or (metrics[-1].step if metrics else 0))
    seconds = [m.values["seconds per step"] for m in metrics if "seconds per step" in m.values]
    minutes = float(done.get("seconds") or (seconds[-1] * steps if seconds else math.nan)) / 60
    figures = [("Steps", f"{steps:,}".replace(",", " "), f"{number(minutes, 1)} minutes of training"),
               ("Patients", str(len(run.split.get("train") or ())),
                f"{len(run.split.get('validation') or ())} more for validation")]
    dice = [m.values[f"{_VALIDATION}Dice"] for m in metrics if f"{_VALIDATION}Dice" in m.values]
    if dice:
        figures.insert(0, ("Validation Dice", number(dice[-1]), "mean over patients and structures, last validation"))
    losses = [m.values["loss"] for m in metrics if "loss" in m.values]
    if losses:
        figures.append(("Loss", number(losses[-1]), f"{number(losses[0])} at first"))
    return report.tiles(figures)


def _notices(run: RunFiles) -> list[Markup]:
    boxes = []
    verdict = verdict_on(run.card) if run.card is not None else None
    if verdict is not None and not verdict.passed:
        boxes.append(report.notice("The quality check was not passed.", [f"{_capital(verdict.reason())}."]))
    if isinstance(run.ending, Error):
        boxes.append(report.notice("The run did not end well.", [run.ending.text]))
    elif run.ending is None:
        boxes.append(report.notice("This run is not finished.", ["The page shows what it has written so far."]))
    warnings = list(dict.fromkeys(e.text for e in run.events if isinstance(e, Message) and e.level == "warning"))
    if warnings:
        boxes.append(report.notice("Warnings during the run", warnings))
    return boxes


def _curves(run: RunFiles) -> Markup:
    metrics = list(run.metrics())
    charts = []
    losses = Line("loss", PALETTE[5], [(m.step, m.values["loss"]) for m in metrics if "loss" in m.values])
    if losses.points:
        charts.append(line_chart([losses], "Loss", "Training loss. Lower is better.", digits=3))
    dice = list(_dice_lines(run, metrics))
    if dice:
        charts.append(line_chart(dice, "Validation Dice", "Mean over the validation patients. Higher is better.",
                                 limits=(0.0, 1.0)))
    terms = sorted({name for m in metrics for name in m.values
                    if name not in ("loss", *_ABOUT_THE_RUN) and not name.startswith(_VALIDATION)})
    lines = [Line(name, PALETTE[i % len(PALETTE)], [(m.step, m.values[name]) for m in metrics if name in m.values])
             for i, name in enumerate(terms)]
    charts += [line_chart([line], _capital(line.name), "", digits=3) for line in lines]
    return report.section("Curves", report.gallery(*charts)) if charts else Markup("")


def _dice_lines(run: RunFiles, metrics: list[Metric]) -> Iterator[Line]:
    found = [("Dice", "mean", PALETTE[9]), *((f"Dice {each.value}", each.name, each.colour) for each in run.labels)]
    for key, name, colour in found:
        points = [(m.step, m.values[_VALIDATION + key]) for m in metrics if _VALIDATION + key in m.values]
        if points:
            yield Line(name, colour, points)


def _held_out(run: RunFiles) -> list[Markup]:
    """The validation cases, worst first: a table, and pictures."""
    rows = [row for row in run.validation.get("cases") or () if isinstance(row, dict)]
    if not rows:
        return []
    labels = run.labels
    columns = [Column("Case", numeric=False), Column("Dice", "mean"), *(Column(each.name, "Dice") for each in labels)]
    cells = [[Cell(str(row.get("case", ""))), _dice(row.get("mean")),
              *(_dice((row.get("dice") or {}).get(str(each.value))) for each in labels)] for row in rows]
    sections = [report.section("Validation cases", report.table(columns, cells, "Dice of the validation cases", True),
                               lead="Patients that the network was not trained on, worst first. Dice per volume, on "
                                    "the slices as the network sees them.")]
    pictures = [_figure(run, row) for row in rows if row.get("picture")]
    if any(pictures):
        sections.append(report.section(
            "Worst cases", report.gallery(*filter(None, pictures)),
            report.legend([(each.name, each.colour) for each in labels]),
            lead="Each on the slice with the most pixels that disagree. Coloured: the network. Dashed white: the "
                 "reference."))
    return sections


def _dice(value: Any) -> Cell:
    known = float(value) if isinstance(value, (int, float)) else math.nan
    return Cell(number(known), known, share=known if math.isfinite(known) else None, alarming=known < LEAST_DICE)


def _figure(run: RunFiles, row: Mapping[str, Any]) -> Markup:
    png = _picture(_inside(run.folder, str(row["picture"])))
    place = f"slice {row.get('slice')} of {row.get('slices')}"
    mean = row.get("mean")
    return report.picture(png, str(row.get("case", "")), f"Dice {number(float(mean or 0))}; {place}",
                          f"{row.get('case')}, {place}") if png else Markup("")


def _sheets(run: RunFiles) -> list[Markup]:
    """The last sheet of each kind that the run has drawn."""
    last = {event.title: Path(event.path).name for event in run.events if isinstance(event, Picture)}
    found = [(title, name, _picture(run.folder / "pictures" / name)) for title, name in last.items()]
    pictures = [report.picture(png, title, "", title) for title, name, png in found if png]
    return [report.section("What the methods see", report.gallery(*pictures))] if pictures else []


def _inside(folder: Path, name: str) -> Path:
    """A picture of the run, or of one of its folds; whatever else the name says."""
    parts = Path(name).parts
    fold = [part for part in parts[:-2] if re.fullmatch(r"fold-[0-9]+", part)][:1]
    return folder.joinpath(*fold, "pictures", parts[-1] if parts else "")


def _picture(path: Path) -> bytes:
    """A PNG of the run folder; nothing where it is not there, or is too large for a page."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size < _LARGEST_PICTURE else b""
    except OSError:
        return b""


def _protocol(run: RunFiles) -> Markup:
    plan = run.plan
    entries = [(name, _short(plan[key])) for name, key in (
        ("Plane of the slices", "slicing_axis"), ("Pixel size (mm)", "spacing"), ("Patch (pixels)", "patch"),
        ("Modality", "modality"), ("Patches per step", "batch")) if plan.get(key) is not None]
    for name, key in (("Training patients", "train"), ("Validation patients", "validation")):
        patients = run.split.get(key) or ()
        if patients:
            entries.append((name, ", ".join(map(str, patients))))
    if run.card is not None:
        entries.append(("Model file", f"model.safetensors, SHA-256 of the weights {run.card.digest[:16]}"))
    return report.section("Data and network", report.definitions(entries)) if entries else Markup("")


def _settings(run: RunFiles) -> Markup:
    columns = [Column("Setting", numeric=False), Column("Value", numeric=False)]
    rows = [[Cell(name), Cell(value if isinstance(value, str) else json.dumps(value))]
            for name, value in run.settings.items() if value not in (None, "", [], {}, False)]
    return report.section("Settings", report.table(columns, rows, "Settings of the run"),
                          lead="Those that were given or have a value by default; the whole file is settings.json.")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _json(path: Path) -> dict[str, Any]:
    """The object in a file of the run; empty where it is not there or is damaged."""
    try:
        values = json_files.parse(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
