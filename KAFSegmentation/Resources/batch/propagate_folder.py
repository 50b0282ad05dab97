"""Labels the unfinished slices of every scan of a folder from its finished ones, in Slicer's batch mode.

    Slicer --no-splash --no-main-window --python-script propagate_folder.py SCANS DRAWN RESULTS
    PythonSlicer propagate_folder.py SCANS DRAWN RESULTS --settings propagate.json

DRAWN holds, for each scan, a label map of the same name (``heart.nii.gz`` or ``heart.seg.nrrd`` for ``heart.nii.gz``)
that is correct in some slices and empty in the others. RESULTS gets one ``<scan>.seg.nrrd`` for each scan, and
``propagated.csv``: the confidence of the result, the slice to check next, and what was used; scans to be checked first
come first. Nothing is asked, and what cannot be done is reported on the error output and in the table. Results that are
there already stay, unless ``--overwrite`` is given. Exit codes: 0 all done, 1 some failed or none were found, 2 the
arguments are wrong. ``--settings`` takes the same JSON file as ``kaf propagate --settings``.
"""

import argparse
import json
import sys
from pathlib import Path

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
TABLE = "propagated.csv"
HEADER = ("scan", "confidence", "next slice", "used", "problem")
MODULE = Path(__file__).resolve().parents[2]


def main(arguments):
    """Returns the exit code."""
    options = parsed(arguments)
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    from kaf.runtime.errors import KafError
    from kaf.runtime.plain_text import plain_lines
    from kaf.worker.client import Client

    pairs = found(options.scans, options.drawn)
    obstacle = in_the_way(pairs, options)
    if obstacle:
        print(plain_lines(obstacle), file=sys.stderr)
        return 2 if pairs else 1
    options.results.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    with Client(python=options.python or sys.executable) as client:
        for number, (scan, drawn) in enumerate(pairs, start=1):
            print(plain_lines(f"[{number}/{len(pairs)}] {scan.name}"), flush=True)
            try:
                rows.append(propagate(client, scan, drawn, target_of(scan, options), options.values))
            except KafError as error:
                failed += 1
                rows.append((scan.name, "", "", "", str(error)))
                print(plain_lines(f"{scan.name}: {error}"), file=sys.stderr, flush=True)
            write(options.results / TABLE, sorted(rows, key=lambda row: (not row[4], row[1])))
    print(plain_lines(f"{len(pairs) - failed} of {len(pairs)} scans labelled into {options.results}"), flush=True)
    return 1 if failed else 0


def parsed(arguments):
    """The options; wrong ones end the program with exit code 2."""
    parser = argparse.ArgumentParser(prog="propagate_folder.py", description=__doc__.split("\n")[0])
    parser.add_argument("scans", type=Path, help="folder with scans")
    parser.add_argument("drawn", type=Path, help="folder with a label map of the same name for each scan")
    parser.add_argument("results", type=Path, help="folder for the segmentations and the table")
    parser.add_argument("--settings", type=Path, help="JSON file with the settings of the verb propagate")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    parser.add_argument("--python", default="", help="the Python that has torch, if it is not Slicer's")
    options = parser.parse_args(arguments)
    for folder in (options.scans, options.drawn):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    if options.results.resolve() in (options.scans.resolve(), options.drawn.resolve()):
        parser.error("the results need a folder of their own")
    options.values = {}
    if options.settings:
        try:
            options.values = json.loads(options.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"{options.settings} cannot be read: {error}")
    return options


def stem(path):
    """The name without its ending, also where that is double; nothing for a file that is no volume."""
    ending = next((end for end in SUFFIXES if path.name.endswith(end)), "")
    return path.name.removesuffix(ending) if ending else ""


def found(scans, drawn):
    """Scans with the label map of the same name; scans without one are left out."""
    labels = {stem(path): path for path in sorted(drawn.iterdir(), reverse=True) if stem(path)}
    return [(path, labels[stem(path)]) for path in sorted(scans.iterdir())
            if stem(path) in labels and not path.name.endswith(".seg.nrrd")]


def target_of(scan, options):
    """Where the segmentation of a scan goes."""
    return options.results / f"{stem(scan)}.seg.nrrd"


def in_the_way(pairs, options):
    """What makes the run impossible, a sentence, or nothing."""
    if not pairs:
        return (f"{options.scans}: no scan in it has a label map of the same name in {options.drawn}. "
                "Save what you drew under the name of its scan.")
    names = [stem(scan).casefold() for scan, _ in pairs]
    for (scan, _), name in zip(pairs, names, strict=True):
        if names.count(name) > 1:
            return f"More than one scan would become {target_of(scan, options).name}: rename them."
    there = [path for path in [*(target_of(scan, options) for scan, _ in pairs), options.results / TABLE]
             if path.exists()]
    if there and not options.overwrite:
        return f"{there[0]} is there already: choose another folder, or pass --overwrite to replace it."
    return ""


def propagate(client, scan, drawn, target, settings):
    """Writes the segmentation of one scan; returns its row of the table."""
    from kaf.imaging.labels import Label
    from kaf.imaging.volume import Volume, read_labels, read_volume
    from kaf.imaging.write import write_labels

    volume, labels = read_volume(scan), read_labels(drawn)
    answer = client.request("propagate", {**settings, "confidence": False},
                            {"image": (volume.voxels, volume.affine), "drawn": (labels.voxels, labels.affine)})
    voxels, affine = answer["arrays"]["labels"]
    structures = tuple(Label(item["value"], item["name"], tuple(item["colour"]), item["terminology"])
                       for item in answer["labels"])
    write_labels(target, Volume(voxels, affine), structures, overwrite=True)
    report = answer["report"]
    sure = [values["confidence"] for values in report["slices"].values()]
    confidence = f"{sum(sure) / len(sure):.3f}" if sure else "1.000"
    check = "" if report["next"] is None else report["next"]
    return (scan.name, confidence, check, report["choice"]["source"], " ".join(answer["warnings"]))


def write(path, rows):
    """The table, all at once."""
    from kaf.runtime.files import atomic_write
    from kaf.runtime.plain_text import csv_table

    atomic_write(path, csv_table([HEADER, *rows], "\r\n"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
