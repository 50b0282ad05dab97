"""What one segmentation leaves on disk: labels, maps, a picture, and the report that is written last."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaf.imaging.file_names import result_name
from kaf.imaging.labels import plain_label
from kaf.runtime.events import OnEvent, Picture
from kaf.runtime.file_set import file_set
from kaf.runtime.files import file_digest
from kaf.settings.segment import SegmentSettings

if TYPE_CHECKING:
    from kaf.imaging.volume import Volume
    from kaf.inference.segmentation import Segmentation


def result_paths(labels: Path, settings: SegmentSettings, picture: bool = False) -> dict[str, Path]:
    """The files that belong to a segmentation at ``labels``; the report is the last one written."""
    stem = labels.with_name(result_name(labels))
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


def report_of(source: str, result: Segmentation, paths: dict[str, Path], settings: SegmentSettings,
              stamp: Mapping[str, Any], more: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What the report says, JSON-ready; ``stamp``: which file the scan was (:mod:`kaf.imaging.source`), ``more``: those
    of its further channels."""
    return {
        "input": source, "input_file": dict(stamp), **({"more_files": [dict(each) for each in more]} if more else {}),
        "outputs": {name: str(path) for name, path in paths.items()},
        "model": result.card.name, "model_digest": result.card.digest, "settings": settings.model_dump(),
        "volumes_ml": {result.card.label_names[value]: round(ml, 3) for value, ml in result.volumes_ml.items()},
        **(result.quality.to_dict() if result.quality is not None else {}),
        "warnings": list(result.warnings), "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
        "place": result.place,
    }


def write_results(volume: Volume, result: Segmentation, paths: dict[str, Path], report: dict[str, Any],
                  overwrite: bool, on_event: OnEvent, without: Collection[Path] = (),
                  on_ready: Callable[[dict[str, str]], None] = lambda digests: None) -> dict[str, Any]:
    """All files of a segmentation, or none of them; the report, which is the last, also tells their SHA-256 and is
    returned.

    without: files that go with the report that was there before.  on_ready: is called with the SHA-256 of all files by
    name, when they are on the disk and about to take their places.

    Raises:
        OutputError: a file is there and ``overwrite`` is not set, or cannot be written.
    """
    from kaf.imaging.write import write_labels, write_map

    maps = {"attention": result.attention, "uncertainty": result.uncertainty}
    *others, last = [*(path for name, path in paths.items() if name != "report"), paths["report"]]
    with file_set((*others, last), overwrite, without) as names:
        write_labels(names[paths["labels"]], result.labels, result.card.labels)
        for name, made in maps.items():
            if made is not None:
                write_map(names[paths[name]], made)
        if result.clusters is not None:
            numbers = range(1, int(result.card.network["clusters"]) + 1)
            write_labels(names[paths["clusters"]], result.clusters, [plain_label(n, f"cluster {n}") for n in numbers])
        if "picture" in paths:
            from kaf.picture.overview import overview

            overview(volume, result.labels, result.card.labels, attention=result.attention,
                     uncertainty=result.uncertainty, path=names[paths["picture"]],
                     title=f"{Path(report['input']).name}  ·  {result.card.name}",
                     slicing_axis=result.card.slicing_axis)
        digests = {path.name: file_digest(names[path]) for path in others}
        report = {**report, "files": digests}
        names[last].write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        on_ready({**digests, last.name: file_digest(names[last])})
    if "picture" in paths:
        on_event(Picture("picture", str(paths["picture"])))
    return report
