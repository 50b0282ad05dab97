"""``kaf adapt``: learn from finished slices of one scan, and segment the rest of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.checks import check_paths
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.imaging.file_names import result_name
from kaf.modelfile.card import read_card
from kaf.modelfile.library import find_model
from kaf.modelfile.licences import notice
from kaf.runtime.file_set import file_set
from kaf.settings.adapt import AdaptSettings


class AdaptCommand(Command, AdaptSettings):  # type: ignore[misc]
    """Fine-tune a model on a few finished slices of a scan, and segment the rest of it.

    The finished slices stay exactly as drawn, and the model to start from is not changed.
    """

    input: CliPositionalArg[str] = Field(description="scan: a file or a DICOM folder")
    drawn: CliPositionalArg[str] = Field(description="label map on the grid of the scan, correct in the finished "
                                                     "slices")
    output: str = Field("", description="segmentation to write; default: the scan's name with -adapted.seg.nrrd, in "
                                        "the current folder")
    save_model: str = Field("", description="also save the adapted model (.safetensors)")
    overwrite: bool = Field(False, description="replace existing results")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(AdaptCommand, arguments, "adapt")
    settings: AdaptSettings = command.only(AdaptSettings)
    output = Path(command.output or f"{result_name(command.input)}-adapted.seg.nrrd")
    from kaf.imaging.itk import name_of
    from kaf.imaging.volume import read_labels, read_volume
    from kaf.imaging.write import check_suffix, write_labels

    name_of(command.input)
    check_suffix(output)
    outputs = [output, *([Path(command.save_model)] if command.save_model else [])]
    check_paths([command.input, command.drawn], outputs, command.overwrite, settings.model)
    volume, drawn = read_volume(command.input, command.frame, command.series or None), read_labels(command.drawn)
    from kaf.verbs.adapt import adapt as run

    result = run(volume, drawn, settings, console)
    with file_set(outputs[::-1], command.overwrite) as names:
        write_labels(names[output], result.segmentation.labels, result.card.labels)
        if command.save_model:
            result.save(names[Path(command.save_model)])
    notice(read_card(find_model(settings.model)), console)
    volumes = {result.card.label_names[value]: round(ml, 3) for value, ml in result.segmentation.volumes_ml.items()}
    lines = [f"{name}: {millilitres:.1f} mL" for name, millilitres in volumes.items()]
    review = ", ".join(map(str, result.review[:3])) or "none"
    console.result({"output": str(output), "model": command.save_model or None, "volumes_ml": volumes,
                    "finished": list(result.finished), "review": list(result.review),
                    "settings": settings.model_dump()},
                   "\n".join([*lines, f"slices to check next: {review}", f"written: {output}"]))
