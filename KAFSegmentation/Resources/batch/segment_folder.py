"""Segments every scan of a folder in Slicer's batch mode, and writes a table of the volumes.

    Slicer --no-splash --no-main-window --python-script segment_folder.py SCANS RESULTS --model cardiac-mr-sax
    PythonSlicer segment_folder.py SCANS RESULTS --model cardiac-mr-sax

Both write one ``<scan>.seg.nrrd`` for each scan and ``volumes.csv``. Nothing is asked: what cannot be segmented, and
what is doubtful about a result, is reported on standard error and in the table, and the rest goes on. Results that are
there already stay, unless ``--overwrite`` is given. Exit codes: 0 all done, 1 some failed or none were found, 2 the
arguments are wrong. ``--settings`` takes the same JSON file as ``kaf segment --settings``.
"""

import argparse
import json
import sys
from pathlib import Path

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
TABLE = "volumes.csv"
MODULE = Path(__file__).resolve().parents[2]


def main(arguments):
    """Returns the exit code."""
    options = parsed(arguments)
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    from kaf.runtime.errors import KafError
    from kaf.runtime.plain_text import plain_lines

    scans = found(options.scans)
    if not scans:
        words = f"{options.scans}: there is no scan in it. Scans end in {', '.join(SUFFIXES)}."
        print(plain_lines(words), file=sys.stderr)
        return 1
    obstacle = in_the_way(scans, options)
    if obstacle:
        print(plain_lines(obstacle), file=sys.stderr)
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    segmenter = InSlicer(options.python) if in_slicer() else Plain(options.python)
    rows, failed = [], 0
    for number, path in enumerate(scans, start=1):
        print(plain_lines(f"[{number}/{len(scans)}] {path.name}"), flush=True)
        try:
            volumes, doubts = segmenter.segment(path, target_of(path, options), options.values)
            note = " ".join(doubts)
        except KafError as error:
            volumes, note, failed = {}, str(error), failed + 1
        if note:
            print(plain_lines(f"{path.name}: {note}"), file=sys.stderr, flush=True)
        rows += [(path.name, name, f"{volume:.3f}", note) for name, volume in volumes.items()] \
            or [(path.name, "", "", note)]
        write(options.results / TABLE, rows)  # after each, so that a stopped run leaves its table
    segmenter.close()
    print(plain_lines(f"{len(scans) - failed} of {len(scans)} scans segmented into {options.results}"), flush=True)
    return 1 if failed else 0


def parsed(arguments):
    """The options; wrong ones end the program with exit code 2."""
    parser = argparse.ArgumentParser(prog="segment_folder.py", description=__doc__.split("\n")[0])
    parser.add_argument("scans", type=Path, help="folder with scans")
    parser.add_argument("results", type=Path, help="folder for the segmentations and the table")
    parser.add_argument("--model", help="name of a model in the library")
    parser.add_argument("--settings", type=Path, help="JSON file with the settings of the verb segment")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    parser.add_argument("--python", default="", help="the Python that has torch, if it is not Slicer's")
    options = parser.parse_args(arguments)
    if not options.scans.is_dir():
        parser.error(f"{options.scans} is not a folder")
    options.values = {}
    if options.settings:
        try:
            options.values = json.loads(options.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"{options.settings} cannot be read: {error}")
    if options.model:
        options.values["model"] = options.model
    if "model" not in options.values:
        parser.error("give --model, or settings that name one")
    return options


def found(folder):
    """The scans of a folder, without the segmentations that lie beside them."""
    return sorted(path for path in folder.iterdir()
                  if path.name.endswith(SUFFIXES) and not path.name.endswith(".seg.nrrd"))


def stem(path):
    """The name without its ending, also where that is double."""
    return next(path.name.removesuffix(end) for end in sorted(SUFFIXES, key=len, reverse=True)
                if path.name.endswith(end))


def target_of(path, options):
    """Where the segmentation of a scan goes."""
    return options.results / f"{stem(path)}.seg.nrrd"


def in_the_way(scans, options):
    """What would be lost: two scans with one name for their results, or results of another run; a sentence, or nothing.
    """
    names = {}
    for path in scans:
        other = names.setdefault(stem(path).casefold(), path)
        if other is not path:
            target = target_of(path, options).name
            return f"{other.name} and {path.name} would both become {target}: rename one of them."
    there = [path for path in [*(target_of(scan, options) for scan in scans), options.results / TABLE] if path.exists()]
    if there and not options.overwrite:
        return f"{there[0]} is there already: choose another folder, or pass --overwrite to replace it."
    return ""


def write(path, rows):
    """The table, all at once."""
    from kaf.runtime.files import atomic_write
    from kaf.runtime.plain_text import csv_table

    atomic_write(path, csv_table([("scan", "structure", "volume_ml", "problem"), *rows], "\r\n"))


def in_slicer():
    """Whether this is Slicer itself, with a scene, and not only its Python."""
    try:
        import slicer
    except ImportError:
        return False
    return getattr(slicer, "app", None) is not None


class InSlicer:
    """Through the module's logic, on real MRML nodes; the scene is left as it was."""

    def __init__(self, python):
        from KAFSegmentationLib import PlainSetup, SegmentationLogic

        self.logic = SegmentationLogic(PlainSetup(python))

    def segment(self, path, target, settings):
        """Writes the segmentation; returns millilitres by structure, and what is doubtful about them."""
        import slicer

        from kaf.runtime.errors import InputError, OutputError

        volume = result = None
        try:
            try:
                volume = slicer.util.loadVolume(str(path), {"show": False})
            except RuntimeError as error:
                raise InputError(path, "cannot be read as a scan", "Open it in Slicer to see why.") from error
            result = self.logic.process(volume, settings)
            if not slicer.util.saveNode(result.segmentationNode, str(target)):
                raise OutputError(target, "could not be written", "Check the folder and the space on the disk.")
            return result.volumes, result.warnings
        finally:
            for node in (volume, result and result.segmentationNode):
                if node is not None:
                    slicer.mrmlScene.RemoveNode(node)

    def close(self):
        """Ends the worker."""
        self.logic.close()


class Plain:
    """Without a scene: the worker alone. Voxels go to it and come back, files are read and written here."""

    def __init__(self, python):
        from kaf.worker.client import Client

        self.client = Client(python=python or sys.executable)

    def segment(self, path, target, settings):
        """Writes the segmentation; returns millilitres by structure, and what is doubtful about them."""
        from kaf.imaging.labels import Label
        from kaf.imaging.volume import Volume, read_volume
        from kaf.imaging.write import write_labels

        scan = read_volume(path)
        answer = self.client.request("segment", settings, {"image": (scan.voxels, scan.affine)})
        voxels, affine = answer["arrays"]["labels"]
        labels = tuple(Label(item["value"], item["name"], tuple(item["colour"]), item["terminology"])
                       for item in answer["labels"])
        write_labels(target, Volume(voxels, affine), labels, overwrite=True)
        return {label.name: answer["volumes_ml"][str(label.value)] for label in labels}, answer["warnings"]

    def close(self):
        """Ends the worker."""
        self.client.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
