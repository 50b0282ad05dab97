"""What the panel says, as settings of a verb: for a run, a command, a file, a cluster job. All take the same."""

import json

from kaf.runs import start as jobs
from kaf.runtime import json_files
from kaf.runtime.errors import SettingsError


def readMore(path):
    """The settings in a file that lies beneath what the panel says; nothing without one.

    Raises:
        SettingsError: it cannot be read.
    """
    if not path.strip():
        return {}
    try:
        values = json_files.read(path.strip())
    except OSError as error:
        raise SettingsError(path, f"cannot be read ({error.strerror})", "Check More settings.") from error
    except ValueError as error:
        raise SettingsError(path, f"is not valid JSON ({error})", "Mend the file at that place.") from error
    if not isinstance(values, dict):
        raise SettingsError(path, "is not a JSON object", 'Write {"name": value, ...}.')
    return {name: value for name, value in values.items() if name not in ("output", "resume", "overwrite")}


def leaveOut(split, patients):
    """Who must not be seen by training: those for the test, and those in no part."""
    placed = {*split.train, *split.validation, *split.test}
    return sorted({*split.test, *(set(patients) - placed)})


def pretrainValues(parameters, data, inspection, split, probe):
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


def finetuneValues(parameters, data, inspection, split, base, words):
    """Settings of `kaf finetune`; ``words`` are those of the card: description, training_data, weights_licence."""
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
        if validation:
            values["validation_cases"] = validation
        if left:
            values["leave_out"] = left
        if inspection.labelNames:
            values["labels"] = {value: name for value, name in inspection.labelNames.items()
                                if int(value) in inspection.values}
    return values | {name: text.strip() for name, text in words.items() if text.strip()}


def compareValues(parameters, data, inspection, base, recipe):
    """Settings of `kaf compare`: these weights against none, on folds of the patients.

    base: a model file to start from, or nothing. recipe: the settings of the pretraining that made it, or None; with
    one the weights are made anew in every fold, so that nobody who is tested was seen.
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


def command(verb, values, output):
    """The same as one line for a terminal; where :func:`needsFile`, a file says it better."""
    return jobs.command(verb, {**values, "output": str(output)})


def needsFile(values):
    """Whether these settings hold more than flags say plainly."""
    return any(isinstance(value, dict) and (name != "labels" or any(set(",=") & set(item) for item in value.values()))
               for name, value in values.items())


def clusterScript(verb, values, output):
    """A script that submits the run to SLURM with `kaf submit`, which queues it again when its time is over."""
    gpus = 0 if values.get("device") == "cpu" else 1
    line = jobs.cluster_command(verb, {**values, "output": str(output)}, {"gpus": gpus, "hours": 24})
    return "\n".join([
        "#!/bin/sh", "# Submits this run to SLURM; preempted or out of time, it is queued again and goes on.",
        "# Paths are those of the computer that this was written on: change them to the cluster's.",
        "# kaf submit --help tells what else can be asked for (partition, memory, nodes).",
        "set -eu", line, ""])


def settingsFile(values, output):
    """The settings as `--settings` takes them."""
    return json.dumps({**values, "output": str(output)}, indent=1, sort_keys=True) + "\n"
