"""The choices of the panel as settings of a verb, the same for a run, a command, a file and a cluster job."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from kaf.runs import command_line
from kaf.runs import start as jobs
from kaf.runtime import json_files
from kaf.runtime.errors import SettingsError

if TYPE_CHECKING:
    from kaf.data.splits import Split
    from KAFPretrainLib.data.Inspection import Inspection
    from KAFPretrainLib.widgets.Parameters import Parameters


def readMore(path: str) -> dict[str, Any]:
    """The settings in the file of further settings, which those of the panel override; empty without a file.

    Raises:
        SettingsError: it cannot be read.
    """
    if not path.strip():
        return {}
    try:
        values = json_files.read(path.strip())
    except OSError as error:
        raise SettingsError(path, _("cannot be read ({reason})").format(reason=error.strerror),
                            _("Check the file under More settings.")) from error
    except ValueError as error:
        raise SettingsError(path, _("is not valid JSON ({reason})").format(reason=error),
                            _("Correct the file at that place.")) from error
    if not isinstance(values, dict):
        raise SettingsError(path, _("is not a JSON object"), _("Write one object of names and values in braces."))
    return {name: value for name, value in values.items() if name not in ("output", "resume", "overwrite")}


def leaveOut(split: Split, patients: Collection[str]) -> list[str]:
    """Patients that training must not see: test patients, and those in no part of the split."""
    placed = {*split.train, *split.validation, *split.test}
    return sorted({*split.test, *(set(patients) - placed)})


def pretrainValues(parameters: Parameters, data: str, inspection: Inspection | None, split: Split | None,
                   probe: bool) -> dict[str, Any]:
    """Settings of `kaf pretrain`."""
    values = {"data": data, "name": parameters.pretrainName.strip() or "pretrained", "method": parameters.method,
              "minutes": round(parameters.pretrainMinutes, 3), "seed": parameters.pretrainSeed,
              "device": parameters.pretrainDevice}
    if parameters.preset:
        values["preset"] = parameters.preset
    if inspection is not None and split is not None:
        left = leaveOut(split, inspection.patients)
        if probe and inspection.labelled:
            values["labelled"] = data  # the probe reads label maps, so that those that do not fit stay out
            left = sorted({*left, *(case.name for case in inspection.unusable)})
        if left:
            values["leave_out"] = left
    return values


def finetuneValues(parameters: Parameters, data: str, inspection: Inspection | None, split: Split | None, base: str,
                   texts: dict[str, str]) -> dict[str, Any]:
    """Settings of `kaf finetune`; ``texts`` are those of the card: description, training_data, weights_licence."""
    values = {"data": data, "name": parameters.finetuneName.strip() or "my-model",
              "minutes": round(parameters.finetuneMinutes, 3), "seed": parameters.finetuneSeed,
              "device": parameters.finetuneDevice}
    if base:
        values["init_from"] = base
    if parameters.fewShot:
        values["few_shot"] = parameters.fewShot
    if inspection is not None and split is not None:
        validation = sorted(set(split.validation) & set(inspection.labelledPatients))
        left = sorted({*leaveOut(split, inspection.patients)} & {*inspection.labelledPatients}
                      | {case.name for case in inspection.unusable})
        values |= {"validation_cases": validation} if validation else {"validation": 0.0}
        if left:
            values["leave_out"] = left
        if inspection.labelNames:
            values["labels"] = {value: name for value, name in inspection.labelNames.items()
                                if int(value) in inspection.values}
    return values | {name: text.strip() for name, text in texts.items() if text.strip()}


def compareValues(parameters: Parameters, data: str, inspection: Inspection, base: str,
                  recipe: dict[str, Any] | None) -> dict[str, Any]:
    """Settings of `kaf compare`: these weights against none, on folds of the patients.

    base: a model file to start from, or nothing. recipe: the settings of the pretraining that made it, or None; with
    one the pretraining is repeated in every fold, so that no test patient was used in it.
    """
    patients = len(inspection.labelledPatients)
    smallest = patients - -(-patients // parameters.folds)
    values = {"data": data, "methods": ["scratch"], "baseline": "scratch", "few_shot":
              [min(parameters.fewShot or smallest, smallest)], "draws": 1, "folds": parameters.folds,
              "run_folds": list(range(parameters.folds)), "seed": parameters.finetuneSeed,
              "device": parameters.finetuneDevice, "finetune": {"minutes": round(parameters.finetuneMinutes, 3)}}
    if recipe is not None:
        kept = ("preset", "minutes", "epochs", "steps", "batch", "patch", "learning_rate", "seed")
        values["methods"].append(recipe["method"])
        values["pretrain"] = {name: recipe[name] for name in kept if recipe.get(name)}
    elif base:
        values["arms"] = {"started from weights": {"finetune": {"init_from": base}}}
    return values


def command(verb: str, values: dict[str, Any], output: str | Path, python: str) -> str:
    """The run as one line for a terminal of this computer."""
    return command_line.command_here(python, [verb, *command_line.arguments(verb, {**values, "output": str(output)})])


def commandWithFile(verb: str, values: dict[str, Any], settings: str | Path, python: str) -> str:
    """The same with the settings in a file."""
    return command_line.command_here(python, [verb, values["data"], "--settings", settings])


def needsFile(values: dict[str, Any]) -> bool:
    """Whether these settings need a file, because flags cannot hold them."""
    return any(isinstance(value, dict) and (name != "labels" or any(set(",=") & set(item) for item in value.values()))
               for name, value in values.items())


def clusterScript(verb: str, values: dict[str, Any], output: str | Path) -> str:
    """A script that submits the run to SLURM with `kaf submit`, which requeues it when its time is over."""
    gpus = 0 if values.get("device") == "cpu" else 1
    line = jobs.cluster_command(verb, {**values, "output": str(output)}, {"gpus": gpus, "hours": 24})
    return "\n".join([
        "#!/bin/sh", "# Submits this run to SLURM. When it is preempted or out of time, it is requeued and resumed.",
        "# The paths are those of the computer that wrote this file: change them to those of the cluster.",
        "# kaf submit --help lists further options (partition, memory, nodes).",
        "set -eu", line, ""])


def settingsFile(values: dict[str, Any], output: str | Path) -> str:
    """The settings as `--settings` reads them."""
    return json.dumps({**values, "output": str(output)}, indent=1, sort_keys=True) + "\n"
