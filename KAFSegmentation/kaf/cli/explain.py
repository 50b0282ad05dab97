"""``kaf explain``: which parts of a scan the network attended to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.checks import check_paths
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.imaging.file_names import result_name
from kaf.runtime.errors import OutputError
from kaf.runtime.file_set import file_set
from kaf.settings.explain import ExplainSettings


class ExplainCommand(Command, ExplainSettings):  # type: ignore[misc]
    """Show which parts of a scan the network attended to: as a map on the grid of the scan, and as Slicer markups."""

    input: CliPositionalArg[str] = Field(description="scan: a file or a DICOM folder")
    output: str = Field("", description="attention map to write: .nrrd, .nii.gz or .mha; default: the scan's name "
                                        "with -attention.nrrd, in the current folder")
    markups: str = Field("", description="also write the keypoints with the highest weights as Slicer markups "
                                         "(.mrk.json)")
    top: int = Field(50, ge=1, le=10000, description="number of keypoints in the markups")
    overwrite: bool = Field(False, description="replace existing results")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(ExplainCommand, arguments, "explain")
    settings: ExplainSettings = command.only(ExplainSettings)
    output = Path(command.output or f"{result_name(command.input)}-attention.nrrd")
    from kaf.imaging.itk import name_of
    from kaf.imaging.volume import read_volume
    from kaf.imaging.write import SEGMENTATION, check_suffix, write_map

    name_of(command.input)
    if check_suffix(output) == SEGMENTATION:
        raise OutputError(output, "is the name of a segmentation, and an attention map is not one",
                          "Use a name that ends in .nrrd, .nii.gz or .mha.")
    outputs = [output, *([Path(command.markups)] if command.markups else [])]
    check_paths([command.input], outputs, command.overwrite, settings.model)
    volume = read_volume(command.input, command.frame, command.series or None)
    from kaf.verbs.explain import explain as run

    result = run(volume, settings, console)
    with file_set(outputs[::-1], command.overwrite) as names:
        write_map(names[output], result.attention)
        if command.markups:
            result.save_markups(names[Path(command.markups)], command.top)
    order = (-result.weights).argsort(kind="stable")[:5]
    points = [{"ras": result.positions[i].round(1).tolist(), "slice": int(result.slices[i]),
               "weight": round(float(result.weights[i]), 4)} for i in order]
    lines = [f"R {p['ras'][0]:.1f}  A {p['ras'][1]:.1f}  S {p['ras'][2]:.1f} mm  (slice {p['slice']}): "
             f"{100 * p['weight']:.1f} % of its slice's attention" for p in points]
    console.result({"output": str(output), "markups": command.markups or None, "keypoints": len(result.weights),
                    "heaviest": points, "warnings": list(result.warnings), "settings": settings.model_dump()},
                   "\n".join(["keypoints with the most attention:", *lines, f"written: {output}"]))
