"""``kaf submit VERB ...``: a training as a job of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaf.cli.console import Console
from kaf.cli.entry import main as run_command
from kaf.cli.flags import Command, parse
from kaf.runs.earlier import check_replaceable, own_content
from kaf.runs.submit import SubmitSettings, submit, submit_parts
from kaf.runtime.errors import OutputError, ResourceError, SettingsError


class SubmitCommand(Command, SubmitSettings):  # type: ignore[misc]
    """Run `kaf pretrain ...`, `kaf finetune ...` or `kaf compare ...` as a SLURM job: kaf submit pretrain FOLDER
    --output RUN --gpus 2.

    A job that is preempted or reaches its time limit is requeued and resumes the run.  `kaf compare` becomes array jobs
    with one task per pretraining and per network.  All other flags are passed on to the command that is submitted.
    """


def main(arguments: Sequence[str], console: Console) -> None:
    verb = arguments[0] if arguments else ""
    if verb in ("-h", "--help", ""):
        parse(SubmitCommand, ["--help"], "submit")
    own, rest = split_arguments(arguments[1:])
    if "--help" in rest or "-h" in rest:
        parse(SubmitCommand, ["--help"], f"submit {verb}")
    settings: SubmitSettings = parse(SubmitCommand, own, "submit").only(SubmitSettings)
    output = _checked(verb, rest, settings.world)
    if verb == "compare" and not {"--task", "--only-report"} & {argument.partition("=")[0] for argument in rest}:
        _submit_parts(rest, output, settings, console)
        return
    job = submit(run_command, verb, rest, output, settings)
    log = str(job.paths.stderr)
    values = {"job": job.job_id, "log": log, "output": output}
    if settings.wait:
        _wait_for(job)
    state = "has finished" if settings.wait else "was submitted"
    console.result(values, f"job {job.job_id} {state}: {output}\nlog: {log}")


def _wait_for(job: Any) -> None:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        job.result()
    except (FailedJobError, UncompletedJobError) as error:
        raise ResourceError(f"job {job.job_id}", "did not finish", f"See the log {job.paths.stderr}.") from error


def _submit_parts(arguments: Sequence[str], output: str, settings: SubmitSettings, console: Console) -> None:
    """`kaf compare` as array jobs: a task for every pretraining, then for every network, then the report."""
    from kaf.cli.compare import CompareCommand
    from kaf.experiments.arms import arm_of
    from kaf.experiments.cells import planned_cells, planned_pretrainings
    from kaf.settings.compare import CompareSettings

    asked: CompareSettings = parse(CompareCommand, arguments, "compare").only(CompareSettings)
    first = len(planned_pretrainings(asked, {name: arm_of(name, asked) for name in asked.names}))
    networks = len(planned_cells(asked))
    jobs = submit_parts(run_command, arguments, output, settings, first, networks)
    if settings.wait:
        _wait_for(jobs[-1])
    values = {"jobs": [job.job_id for job in jobs], "pretrainings": first, "networks": networks, "output": output}
    console.result(values,
                   f"{first} pretrainings, {networks} networks and the report were submitted, the last as job "
                   f"{jobs[-1].job_id}: {output}\nlogs: {Path(jobs[-1].paths.stderr).parent}")


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags for the cluster, and those of the command that is submitted."""
    own: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    names = {f"--{name.replace('_', '-')}": field.annotation for name, field in SubmitSettings.model_fields.items()}
    while left:
        argument = left.pop(0)
        flag, equals, _ = argument.partition("=")
        if flag not in names:
            rest.append(argument)
            continue
        own.append(argument)
        if not equals and names[flag] is not bool and left:
            own.append(left.pop(0))
    return own, rest


def _checked(verb: str, arguments: Sequence[str], world: int) -> str:
    """The run folder of a command that can begin, as far as that can be known now and not hours later."""
    settings: Any
    if verb in ("pretrain", "finetune"):
        from kaf.cli.finetune import FinetuneCommand
        from kaf.cli.pretrain import PretrainCommand

        settings = parse(PretrainCommand if verb == "pretrain" else FinetuneCommand, arguments, verb)
        if settings.batch % world:
            raise SettingsError("batch", f"{settings.batch} slices cannot be divided among {world} processes",
                                f"Choose a multiple of {world}.")
    elif verb == "compare":
        settings = _comparison(arguments, world)
    else:
        raise SettingsError(f"kaf submit {verb}".strip(), "only pretrain, finetune and compare can be submitted",
                            "For example: kaf submit pretrain FOLDER --output RUN --gpus 1.")
    if verb == "compare":  # goes on with what is there
        return str(settings.output)
    if (Path(settings.output) / "settings.json").is_file() and not (settings.resume or settings.overwrite):
        raise OutputError(settings.output, "already contains a run",
                          "Resume it (--resume), replace it (--overwrite), or choose another folder.")
    if settings.overwrite and Path(settings.output).is_dir() and own_content(Path(settings.output)):
        check_replaceable(Path(settings.output), settings)
    return str(settings.output)


def _comparison(arguments: Sequence[str], world: int) -> Any:
    """The settings of a comparison, every part of which is one process."""
    from kaf.cli.compare import CompareCommand

    if world > 1:
        raise SettingsError("kaf submit compare", f"cannot use {world} processes", "Ask for one GPU and one process: "
                            "every pretraining and every network is a task of its own.")
    return parse(CompareCommand, arguments, "compare")
