"""The same run outside Slicer: as a command, as a file of settings, as a job of a cluster.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaf.runs.launch import as_json
from kaf.runtime.errors import SettingsError
from kaf.runtime.files import atomic_write

_POSITIONAL = {"pretrain": ("data",), "finetune": ("data",), "compare": ("data",),
               "evaluate": ("prediction", "reference"), "select": ("data",)}
_TABLES = {"labels", "terminology", "arms", "pretrain", "finetune"}  # dictionaries that are no nested settings
_CLUSTER = ("pretrain", "finetune", "compare")
_PLAIN = re.compile(r"(?!true$|false$|null$|nan$|inf)[a-z][\w.+-]*", re.ASCII | re.IGNORECASE)  # needs no JSON


def arguments(verb: str, values: Mapping[str, Any]) -> list[str]:
    """The verb's arguments on a command line for these settings; None, which no flag can say, is left out."""
    places = positionals(verb, values)
    rest = {name: value for name, value in values.items() if name not in _POSITIONAL.get(verb, ())}
    return [*places, *_flags(json.loads(as_json(rest, verb)), "--")]


def positionals(verb: str, values: Mapping[str, Any]) -> list[str]:
    """Those of the settings that are no flags."""
    given = [str(values[name]) for name in _POSITIONAL.get(verb, ()) if values.get(name)]
    return [f".{os.sep}{value}" if value.startswith("-") else value for value in given]


def _flags(values: Mapping[str, Any], prefix: str) -> list[str]:
    found = []
    for name, value in values.items():
        flag = prefix + name.replace("_", "-")
        if isinstance(value, bool):
            found.append(flag if value else f"--no-{flag.removeprefix('--')}")
        elif isinstance(value, dict) and not (prefix == "--" and name in _TABLES):
            found += _flags(value, f"{flag}.")
        elif isinstance(value, list) and value and all(_PLAIN.fullmatch(str(item)) for item in value):
            found += [flag, ",".join(map(str, value))]
        elif isinstance(value, (dict, list)):
            found += [f"{flag}={json.dumps(value)}"] if value else []
        elif value is not None:
            words = str(value)
            found += [flag, words] if words and words[0] not in "-[{" else [f"{flag}={words}"]
    return found


def command(verb: str, values: Mapping[str, Any]) -> str:
    """What to paste into a terminal (POSIX, or Windows there) for the same run."""
    return quoted(["kaf", verb, *arguments(verb, values)])


def command_here(python: str | Path, words: Sequence[object]) -> str:
    """``kaf`` with these words as a line for a terminal of this computer, by an interpreter that has the packages; it
    runs as it stands, whether or not kaf is installed there."""
    home, texts = Path(__file__).resolve().parents[2], [str(word) for word in words]
    if home.name in ("site-packages", "dist-packages"):
        return quoted([str(python), "-m", "kaf", *texts])
    if sys.platform == "win32":  # neither of its shells can set a variable for one command
        code = f"import runpy, sys; sys.path.insert(0, r'{home}'); runpy.run_module('kaf', run_name='__main__')"
        return quoted([str(python), "-c", code, *texts])
    return quoted(["env", f"PYTHONPATH={home}", str(python), "-m", "kaf", *texts])


def quoted(words: list[str]) -> str:
    """A command as one line of this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def save_settings(path: str | Path, verb: str, values: Mapping[str, Any]) -> None:
    """A file for ``--settings``; what is positional (the folder of scans) is in it too.

    Raises:
        SettingsError: values that JSON cannot hold.
        OutputError: the file cannot be written.
    """
    atomic_write(path, as_json(values, verb))


def cluster_command(verb: str, values: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """``kaf submit``: the same run as a job of the cluster.

    asked: what the cluster is asked for, as ``kaf submit --help`` lists it: gpus, hours, memory, partition, ...

    Raises:
        SettingsError: a verb that is no cluster's job.
    """
    _check(verb)
    flags = _flags({name: value for name, value in asked.items() if value not in ("", None)}, "--")
    return shlex.join(["kaf", "submit", verb, *arguments(verb, values), *flags])


def cluster_script(verb: str, values: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The text of a batch script for ``sbatch``: queued again when it is preempted, it goes on with its run.

    asked: partition, account, qos, constraint, hours, nodes, gpus (per node), cpus (per process), memory (GB).

    Raises:
        SettingsError: a verb that is no cluster's job, or one for a single process on several.
    """
    _check(verb)
    given = {"hours": 24.0, "nodes": 1, "gpus": 0, "cpus": 4, "memory": 16.0,
             **{name: value for name, value in asked.items() if value not in ("", None)}}
    each = int(given.get("processes", 0)) or max(1, int(given["gpus"]))
    world = each * int(given["nodes"])
    if verb == "compare" and world > 1:
        raise SettingsError(verb, f"is one process, not {world}", "Ask for one GPU and one node.")
    output = str(values.get("output", "run"))
    values = {name: value for name, value in values.items() if name not in ("resume", "overwrite")}
    minutes = max(1, round(60 * float(given["hours"])))
    goes_on = "" if verb == "compare" else "--resume"  # which goes on by itself
    lines = ["#!/bin/bash", f"#SBATCH --job-name=kaf-{verb}", f"#SBATCH --nodes={given['nodes']}",
             "#SBATCH --ntasks-per-node=1", f"#SBATCH --cpus-per-task={int(given['cpus']) * each}",
             f"#SBATCH --mem={given['memory']:g}G", f"#SBATCH --time={minutes // 60:02d}:{minutes % 60:02d}:00",
             f"#SBATCH --output={Path(output).name}-%j.log", "#SBATCH --requeue", "#SBATCH --open-mode=append"]
    lines += [f"#SBATCH --gpus-per-node={given['gpus']}"] if given["gpus"] else []
    lines += [f"#SBATCH --{name}={given[name]}" for name in ("partition", "account", "qos", "constraint")
              if given.get(name)]
    run = shlex.join([verb, *arguments(verb, values)])
    where = "" if given["nodes"] == 1 else (' --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" '
                                            '--rdzv-endpoint="$(scontrol show hostnames | head -n 1):29400"')
    how = "kaf" if world == 1 else f"torchrun --nnodes={given['nodes']} --nproc-per-node={each}{where} -m kaf"
    return "\n".join([
        *lines, "", "resume=", f"if [ -f {shlex.quote(f'{output}/settings.json')} ]; then resume={goes_on}; fi",
        f"srun {how} {run} $resume", ""])


def _check(verb: str) -> None:
    if verb not in _CLUSTER:
        raise SettingsError(f"kaf {verb}", "is no job for a cluster", f"Submit {' or '.join(_CLUSTER)}.")
