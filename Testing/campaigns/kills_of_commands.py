"""Kills of the commands that write results: segment, explain, adapt, evaluate, select, the library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaigns.apart import call, files_below, kaf
from campaigns.kills import Scenario, inside, scenario_tries
from campaigns.material import HERE, Material
from campaigns.verdicts import Try, must, succeeded

_REPORT, _NUMBERS = "out-seg.json", "out/evaluation.json"
_CHANGES = ("seconds", "created", "place", "input")  # keys of a report that differ between two equal runs


def command_kills(material: Material) -> Iterator[Try]:
    """All tries."""
    place = material.folder / "killed"
    for name, count, make in (
            ("segment one scan", 30, lambda: _segment_one(material)),
            ("segment one scan over an older result", 36, lambda: _segment_over(material)),
            ("segment a folder", 26, lambda: _segment_folder(material, over=False)),
            ("segment a folder over older results", 30, lambda: _segment_folder(material, over=True)),
            ("evaluate", 16, lambda: _evaluate(material)),
            ("evaluate over an older evaluation", 30, lambda: _evaluate_over(material)),
            ("adapt", 10, lambda: _adapt(material, over=False)),
            ("adapt over an older model", 12, lambda: _adapt(material, over=True)),
            ("explain", 12, lambda: _explain(material)), ("select", 12, lambda: _select(material)),
            ("models add", 20, lambda: _add(material, over=False)),
            ("models add --overwrite", 20, lambda: _add(material, over=True)),
            ("models export", 10, lambda: _export(material))):
        yield from scenario_tries(name, make, count, place)


def _made(name: str, *command: object) -> dict[str, bytes]:
    """The files that a command leaves in a folder of its own."""
    with inside(Path(name)):
        succeeded(kaf(*command))
        return files_below(Path())


def _put(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


def _plain(name: str, content: bytes) -> Any:
    """What a file says, without what differs between two equal runs."""
    if not name.endswith(".json"):
        return content
    values = json.loads(content)
    for key in _CHANGES:
        values.pop(key, None)
    values.get("settings", {}).pop("overwrite", None)
    return values


def _seen() -> dict[str, bytes]:
    """The files of the current folder that a person sees."""
    return {name: content for name, content in files_below(Path(), but=("home", ".kaf-work")).items()
            if not any(part.startswith(".") for part in Path(name).parts)}


def whole(*sets: dict[str, bytes]) -> None:
    """Every file there is, is one of these files."""
    for name, content in _seen().items():
        known = [files[name] for files in sets if name in files]
        if known:
            must(content, f"{name} is empty")
            must(any(_same(name, content, other) for other in known), f"{name} is half-written, or of no run")


def _same(name: str, content: bytes, other: bytes) -> bool:
    try:
        return _plain(name, content) == _plain(name, other)
    except ValueError:
        return False


def one_set(record: str, *sets: dict[str, bytes]) -> None:
    """Every file is whole; and where the record of a run is there, which is the file that is read first, it stands
    beside files of its own run only."""
    whole(*sets)
    seen = _seen()
    if record not in seen:
        return
    runs = {name: [number for number, files in enumerate(sets) if name in files and _same(name, content, files[name])]
            for name, content in seen.items() if any(name in files for files in sets)}
    must(any(all(number in mine for mine in runs.values()) for number in range(len(sets))),
         f"files of two runs side by side: {runs}")


def complete(files: dict[str, bytes]) -> None:
    """All of these files are there, and nothing half-done that a person sees."""
    seen = _seen()
    missing = [name for name in files if name not in seen]
    must(not missing, f"missing: {missing}")
    whole(files)
    must(not Path("out/.kaf-work").exists(), "the work folder is still there")


def _segment(material: Material, model: Path) -> list[object]:
    return ["segment", material.scan, "--model", model, "--output", "out.seg.nrrd", "--uncertainty", "--attention",
            *HERE]


def _segment_one(material: Material) -> Scenario:
    command = _segment(material, material.model)
    files = _made("one", *command)
    return Scenario(lambda: None, command, lambda: one_set(_REPORT, files), lambda: [*command, "--overwrite"],
                    lambda: complete(files))


def _segment_over(material: Material) -> Scenario:
    command = [*_segment(material, material.other), "--overwrite"]
    first, second = _made("one", *_segment(material, material.model)), _made("two", *command)
    return Scenario(lambda: _put(first), command, lambda: one_set(_REPORT, first, second), lambda: command,
                    lambda: complete(second))


def _segment_folder(material: Material, over: bool) -> Scenario:
    """Into an empty folder, or over the results of another model."""
    def command(model: Path) -> list[object]:
        return ["segment", material.scans, "--model", model, "--output", "out", "--uncertainty", *HERE]

    first, second = (_in_out(_made(name, *command(model)))
                     for name, model in (("many", material.model), ("more", material.other)))

    def each_case_is_one_set() -> None:
        for case in ("s0", "s1", "s2", "s3"):
            record = f"out/{case}-seg.json"
            one_set(record, *({name: content for name, content in files.items() if f"/{case}" in name}
                              for files in (first, second)))

    if not over:
        return Scenario(lambda: None, command(material.model), each_case_is_one_set, lambda: command(material.model),
                        lambda: complete(first))
    again = [*command(material.other), "--overwrite"]
    return Scenario(lambda: _put(first), again, each_case_is_one_set, lambda: again, lambda: complete(second))


def _in_out(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name.startswith("out/")}


def _evaluate(material: Material) -> Scenario:
    command = ["evaluate", material.drawn, material.drawn, "--output", "out"]
    tables = _tables(_made("right", *command))
    return Scenario(lambda: None, command, lambda: one_set(_NUMBERS, tables), lambda: [*command, "--overwrite"],
                    lambda: complete(tables))


def _evaluate_over(material: Material) -> Scenario:
    """The older prediction is perfect, the newer is not."""
    prediction = material.folder / "predicted.seg.nrrd"
    prediction.write_bytes(_made("predicted", *_segment(material, material.model))["out.seg.nrrd"])
    older = _in_out(_made("right", "evaluate", material.drawn, material.drawn, "--output", "out"))
    command = ["evaluate", prediction, material.drawn, "--output", "out", "--overwrite"]
    newer = _tables(_made("wrong", *command))
    return Scenario(lambda: _put(older), command, lambda: one_set(_NUMBERS, _tables(older), newer), lambda: command,
                    lambda: complete(newer))


def _tables(files: dict[str, bytes]) -> dict[str, bytes]:
    """What two equal evaluations share to the letter."""
    return {name: content for name, content in _in_out(files).items() if not name.endswith(".html")}


def _adapt(material: Material, over: bool) -> Scenario:
    """It learns for a time, so that two runs differ; but labels and model are whole, and the base stays as it is."""
    command = ["adapt", "scan.nii.gz", "drawn.seg.nrrd", "--model", "base.safetensors", "--seconds", "1", "--patch",
               "32", "--output", "out.seg.nrrd", "--save-model", "mine.safetensors", *HERE]
    given = {"scan.nii.gz": material.scan.read_bytes(), "drawn.seg.nrrd": material.drawn.read_bytes(),
             "base.safetensors": material.model.read_bytes()}
    older = {"out.seg.nrrd": given["drawn.seg.nrrd"], "mine.safetensors": given["base.safetensors"]} if over else {}

    def sound_files() -> None:
        whole(given)
        must({*given, *older} - {"out.seg.nrrd"} <= set(_seen()), "a file that was there is gone")
        call(_readable, Path("out.seg.nrrd"), Path("mine.safetensors"))

    def finished() -> None:
        sound_files()
        must(Path("out.seg.nrrd").is_file() and Path("mine.safetensors").is_file(), "no result")

    again = [*command, "--overwrite"]
    return Scenario(lambda: _put({**given, **older}), again if over else command, sound_files, lambda: again, finished)


def _readable(labels: Path, model: Path) -> None:
    import SimpleITK

    from kaf.modelfile.model import load_model

    if labels.exists():
        SimpleITK.ReadImage(str(labels))
    if model.exists():
        load_model(model)


def _explain(material: Material) -> Scenario:
    command = ["explain", material.scan, "--model", material.model, "--output", "map.nrrd", "--markups",
               "seen.mrk.json", *HERE]
    files = _made("explained", *command)
    return Scenario(lambda: None, command, lambda: whole(files), lambda: [*command, "--overwrite"],
                    lambda: complete(files))


def _select(material: Material) -> Scenario:
    command = ["select", material.scans, "--model", material.model, "--output", "out", "--cache", "cache", *HERE]
    files = _in_out(_made("selected", *command))
    return Scenario(lambda: None, command, lambda: whole(files), lambda: [*command, "--overwrite"],
                    lambda: complete(files))


def _add(material: Material, over: bool) -> Scenario:
    """The library lies in the home of a try; what is listed must be a whole model."""
    old, new = material.model, material.other if over else material.model

    def arrange() -> None:
        if over:
            library = call(_user_folder)
            library.mkdir(parents=True, exist_ok=True)
            shutil.copy(old, library / "mine.safetensors")

    def after() -> None:
        listed = kaf("models", "list", "--events")
        succeeded(listed)
        for entry in json.loads(listed.out.splitlines()[-1])["values"]["models"]:
            if not entry["bundled"]:
                must(Path(entry["path"]).read_bytes() in (old.read_bytes(), new.read_bytes()),
                     f"{entry['path']} is listed and is no whole model")
                must(entry["name"] == "mine", f"{entry['name']} is listed")
        must(not over or (call(_user_folder) / "mine.safetensors").is_file(), "the model that was there is lost")

    def finished() -> None:
        after()
        library = call(_user_folder)
        must((library / "mine.safetensors").read_bytes() == new.read_bytes(), "it is not the model that was added")
        left = [path.name for path in library.iterdir() if path.name != "mine.safetensors"]
        must(not left, f"left behind in the library: {left}")

    again = ["models", "add", new, "--name", "mine", "--overwrite"]
    return Scenario(arrange, again if over else again[:-1], after, lambda: again, finished, "../home")


def _export(material: Material) -> Scenario:
    files = {"out.safetensors": material.model.read_bytes()}
    command = ["models", "export", material.model, "out.safetensors"]
    return Scenario(lambda: None, command, lambda: whole(files), lambda: [*command, "--overwrite"],
                    lambda: complete(files))


def _user_folder() -> Path:
    from kaf.modelfile.library import user_folder

    return user_folder()
