"""``kaf function``: cardiac function from a short-axis cine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.checks import check_paths
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.modelfile.card import read_card
from kaf.modelfile.library import find_model
from kaf.modelfile.licences import notice
from kaf.runtime.errors import OutputError
from kaf.runtime.file_set import file_set
from kaf.runtime.plain_text import csv_table
from kaf.settings.function import FunctionSettings

if TYPE_CHECKING:
    from kaf.function.result import CardiacFunction
    from kaf.imaging.cine import Cine

_PICKED = ("ED.seg.nrrd", "ES.seg.nrrd")
_TABLES = ("volumes.csv", "function.csv", "report.html", "function.json")


class FunctionCommand(Command, FunctionSettings):  # type: ignore[misc]
    """Measure cardiac function from a short-axis cine: volumes, ejection fraction, mass and wall thickness.

    The input is a 4-D file, a folder of phases, a DICOM folder (one series per slice, one per phase, or all in one),
    or two files: end-diastole, and end-systole with --es-file.  For research use only.
    """

    input: CliPositionalArg[str] = Field(description="4-D file, folder of phases, DICOM folder, or the file of "
                                                     "end-diastole")
    es_file: str = Field("", description="file of end-systole, where INPUT is that of end-diastole")
    output: str = Field(description="folder for the report (HTML), the figures (JSON, CSV) and the segmentations")
    every_phase: bool = Field(False, description="also write the segmentation of every phase")
    overwrite: bool = Field(False, description="replace existing results")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(FunctionCommand, arguments, "function")
    settings: FunctionSettings = command.only(FunctionSettings)
    given = [command.input, *([command.es_file] if command.es_file else [])]
    output = Path(command.output)
    with _folder(output):
        check_paths(given, [output / name for name in (*_PICKED, *_TABLES)], command.overwrite, settings.model)
        from kaf.imaging.cine import read_cine

        cine = read_cine(*given)
        from kaf.verbs.function import function as run

        result = run(cine, settings, console)
        chosen = dict(zip(_PICKED, (result.phases.ed, result.phases.es), strict=True))
        if command.every_phase:
            chosen |= {f"phase-{index:02d}.seg.nrrd": index for index in range(len(result.labels))}
        report = {"input": command.input, "settings": settings.model_dump(), **result.to_dict()}
        report["outputs"] = _write(output, chosen, result, cine, report, Path(command.input).name, command.overwrite)
    notice(read_card(find_model(settings.model)), console)
    lines = [f"{name}: {one.value:.1f} {unit}" for name, unit, one in result.figures()]
    console.result(report, "\n".join([*lines, f"end-diastole: phase {result.phases.ed}, end-systole: phase "
                                      f"{result.phases.es}", f"report: {output / 'report.html'}"]))


@contextmanager
def _folder(output: Path) -> Iterator[None]:
    """The folder for the results; one that was made for nothing goes again."""
    made = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(output, f"this folder cannot be created ({error.strerror})", "Choose another folder."
                          ) from error
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):
                output.rmdir()
        raise


def _write(output: Path, chosen: dict[str, int], result: CardiacFunction, cine: Cine, report: dict[str, Any],
           title: str, overwrite: bool) -> dict[str, str]:
    """All files or none, the figures last; returns their paths by name."""
    from kaf.function.page import function_page
    from kaf.function.result import curve_rows, rows_of
    from kaf.imaging.write import write_labels

    paths = {name: output / name for name in (*chosen, *_TABLES)}
    outputs = {name: str(path) for name, path in paths.items()}
    texts = {"volumes.csv": csv_table(curve_rows(result)), "function.csv": csv_table(rows_of(result)),
             "report.html": function_page(result, cine, title),
             "function.json": json.dumps({**report, "outputs": outputs}, indent=1, allow_nan=False) + "\n"}
    with file_set(list(paths.values()), overwrite) as names:
        for name, index in chosen.items():
            write_labels(names[paths[name]], result.labels[index], result.structures)
        for name, text in texts.items():
            names[paths[name]].write_bytes(text.encode("utf-8", "backslashreplace"))
    return outputs
