"""What one segmentation leaves on disk: labels, maps, a picture, and the report that is written last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaf.card import plain_label
from kaf.events import OnEvent, Picture
from kaf.files import atomic_write
from kaf.pairs import case_name
from kaf.settings import SegmentSettings

if TYPE_CHECKING:
    from kaf.segment import Segmentation
    from kaf.volume import Volume


def result_paths(labels: Path, settings: SegmentSettings, picture: bool = False) -> dict[str, Path]:
    """The files that belong to a segmentation at ``labels``; the report is the last one written."""
    stem = labels.with_name(case_name(labels))
    paths = {"labels": labels, "report": Path(f"{stem}-seg.json")}
    if settings.attention:
        paths["attention"] = Path(f"{stem}-attention.nrrd")
    if settings.uncertainty:
        paths["uncertainty"] = Path(f"{stem}-uncertainty.nrrd")
    if settings.clusters:
        paths["clusters"] = Path(f"{stem}-clusters.seg.nrrd")
    if picture:
        paths["picture"] = Path(f"{stem}-overview.png")
    return paths


def report_of(source: str, result: Segmentation, paths: dict[str, Path], settings: SegmentSettings) -> dict[str, Any]:
    """What the report says, JSON-ready."""
    return {
        "input": source, "outputs": {name: str(path) for name, path in paths.items()},
        "model": result.card.name, "model_digest": result.card.digest, "settings": settings.model_dump(),
        "volumes_ml": {result.card.label_names[value]: round(ml, 3) for value, ml in result.volumes_ml.items()},
        "warnings": list(result.warnings), "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
        "place": result.place,
    }


def write_results(volume: Volume, result: Segmentation, paths: dict[str, Path], report: dict[str, Any],
                  overwrite: bool, on_event: OnEvent) -> None:
    """All files of a segmentation, or none of them.

    Raises:
        OutputError: a file is there and ``overwrite`` is not set, or cannot be written.
    """
    from kaf.volume.write import write_labels, write_map

    with all_or_none(paths.values()):
        write_labels(paths["labels"], result.labels, result.card.labels, overwrite)
        for name, made in (("attention", result.attention), ("uncertainty", result.uncertainty)):
            if made is not None:
                write_map(paths[name], made, overwrite)
        if result.clusters is not None:
            numbers = range(1, int(result.card.network["clusters"]) + 1)
            write_labels(paths["clusters"], result.clusters, [plain_label(n, f"cluster {n}") for n in numbers],
                         overwrite)
        if "picture" in paths:
            from kaf.picture import overview

            overview(volume, result.labels, result.card.labels, attention=result.attention,
                     uncertainty=result.uncertainty, path=paths["picture"],
                     title=f"{Path(report['input']).name}  ·  {result.card.name}",
                     slicing_axis=result.card.slicing_axis)
            on_event(Picture("picture", str(paths["picture"])))
        atomic_write(paths["report"], json.dumps(report, indent=1) + "\n", overwrite)


@contextmanager
def all_or_none(outputs: Iterable[Path]) -> Iterator[None]:
    """All results or none: those that a failed or stopped command has made new are removed."""
    new = [path for path in outputs if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
