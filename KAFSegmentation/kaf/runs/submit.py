"""Training as a job of a SLURM cluster, through submitit: preempted or out of time, it is requeued and resumed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kaf.runs.cli_runs import created
from kaf.runtime.errors import KafError, ResourceError
from kaf.settings.base import Settings

_REQUEUES = 100  # times that a job may run out of its time


class SubmitSettings(Settings):
    """What a job asks of the cluster."""

    cluster: Literal["slurm", "local"] = Field("slurm", description="slurm; local: this computer, to try it out")
    partition: str = Field("", description="SLURM partition; default: the cluster's")
    account: str = Field("", description="SLURM account")
    qos: str = Field("", description="SLURM quality of service")
    constraint: str = Field("", description="SLURM constraint: features that the nodes must have")
    hours: float = Field(24.0, gt=0, le=24 * 60, description="time limit; a run that needs longer is requeued and "
                                                             "resumed")
    nodes: int = Field(1, ge=1, le=1024, description="number of nodes")
    gpus: int = Field(0, ge=0, le=64, description="GPUs per node, one process each")
    processes: int = Field(0, ge=0, le=1024, description="processes per node; default: one per GPU, or one")
    cpus: int = Field(4, ge=1, le=1024, description="CPU cores per process")
    memory: float = Field(16.0, gt=0, description="memory per node in GB")
    parallel: int = Field(0, ge=0, le=10_000, description="tasks of an array job (`kaf submit compare`) at a time; "
                                                          "default: as many as the cluster has places")
    wait: bool = Field(False, description="wait until the job has finished")

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.nodes * (self.processes or max(1, self.gpus))


@dataclass(frozen=True)
class Job:
    """``kaf <verb> <arguments>`` on the cluster; picked up again it resumes the run in ``output``.

    main: runs such a command line and returns its exit code; a function of a module, which the job imports.
    replaces: when the run began that was in ``output`` before, 0 for none.
    """

    main: Callable[[Sequence[str]], int]
    verb: str
    arguments: tuple[str, ...]
    output: str
    world: int = 1
    again: bool = False
    replaces: float = 0.0

    def __call__(self) -> str:
        if self.world > 1:
            from submitit.helpers import TorchDistributedEnvironment

            TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        again = self.again or int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0
        if code := self.main([self.verb, *(self.resumed() if again else self.arguments)]):
            raise RuntimeError(f"kaf {self.verb} ended with exit code {code}; see the log")
        return self.output

    def resumed(self) -> tuple[str, ...]:
        """The arguments that go on with the run, if it had begun."""
        if self.verb == "compare":  # goes on by itself
            return self.arguments
        begun = _created(Path(self.output)) not in (0.0, self.replaces)
        kept = [a for a in self.arguments if a.partition("=")[0] not in ("--resume", "--overwrite", "--no-overwrite")]
        return (*kept, "--no-overwrite", "--resume") if begun else self.arguments

    def checkpoint(self) -> Any:
        """What submitit queues in place of this job when it is preempted or out of time."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, again=True))


def _created(folder: Path) -> float:
    """When the run in a folder began; 0 where there is none."""
    return created(folder) if (folder / "settings.json").is_file() else 0.0


def submit(main: Callable[[Sequence[str]], int], verb: str, arguments: Sequence[str], output: str,
           settings: SubmitSettings) -> Any:
    """Submit ``kaf <verb> <arguments>``, which writes the run folder ``output``; returns submitit's job.

    ``main`` runs a command line of KAF and returns its exit code.  Logs and submitit's own files are written to
    ``<output>-job``.

    Raises:
        KafError: submitit is not installed.
        ResourceError: there is no SLURM here, or it refuses the job.
    """
    folder = Path(output).absolute()
    flags = {argument.partition("=")[0] for argument in arguments}
    job = Job(main, verb, tuple(arguments), str(folder), settings.world,
              replaces=_created(folder) if "--overwrite" in flags else 0.0)
    with _accepted(settings):
        return _executor(folder, verb, settings).submit(job)


def submit_parts(main: Callable[[Sequence[str]], int], arguments: Sequence[str], output: str, settings: SubmitSettings,
                 pretrainings: int, networks: int) -> list[Any]:
    """Submit ``kaf compare`` as array jobs with one part per task: pretrainings, then networks, then the report.

    Every group waits until the one before has finished (on SLURM by a dependency, elsewhere here); returns submitit's
    jobs, the report's last.

    Raises:
        KafError: submitit is not installed.
        ResourceError: there is no SLURM here, it refuses a job, or a task on this computer fails.
    """
    folder = Path(output).absolute()
    numbers = range(pretrainings + networks)
    groups: list[list[tuple[str, ...]]] = [[("--task", str(number)) for number in part]
                                           for part in (numbers[:pretrainings], numbers[pretrainings:])]
    groups.append([("--only-report",)])
    submitted: list[Any] = []
    with _accepted(settings):
        executor = _executor(folder, "compare", settings)
        for group in filter(None, groups):
            jobs = [Job(main, "compare", (*arguments, *part), str(folder)) for part in group]
            if settings.cluster == "slurm":
                if submitted:
                    before = submitted[-1].job_id.partition("_")[0]
                    executor.update_parameters(slurm_additional_parameters={"dependency": f"afterany:{before}"})
                submitted += executor.map_array(Job.__call__, jobs)
                continue
            for start in range(0, len(jobs), settings.parallel or 1):
                running = [executor.submit(job) for job in jobs[start:start + (settings.parallel or 1)]]
                submitted += running
                for job in running:
                    job.result()
    return submitted


def _executor(folder: Path, verb: str, settings: SubmitSettings) -> Any:
    import submitit

    executor = submitit.AutoExecutor(folder=folder.with_name(f"{folder.name}-job"), cluster=settings.cluster,
                                     slurm_max_num_timeout=_REQUEUES)
    executor.update_parameters(**_parameters(settings, f"kaf-{verb}"))
    return executor


@contextmanager
def _accepted(settings: SubmitSettings) -> Iterator[None]:
    """What submitit says, as errors of ours."""
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise KafError("submitit", "is not installed, and `kaf submit` needs it",
                       "Install it: pip install 'kaf-segmentation[cluster]', or pip install submitit.") from error
    try:
        yield
    except (RuntimeError, OSError, ValueError, submitit.core.utils.FailedJobError,
            submitit.core.utils.FailedSubmissionError) as error:
        raise ResourceError(f"cluster {settings.cluster}", f"refused the job ({str(error).strip()[:300]})",
                            "Run this on a login node of the cluster; check the partition and the resources asked for."
                            ) from error


def _parameters(settings: SubmitSettings, name: str) -> dict[str, Any]:
    own = {f"slurm_{key}": value for key in ("partition", "account", "qos", "constraint")
           if (value := getattr(settings, key))}
    own |= {"slurm_array_parallelism": settings.parallel} if settings.parallel else {}
    return {"name": name, "timeout_min": max(1, round(60 * settings.hours)), "nodes": settings.nodes,
            "tasks_per_node": settings.world // settings.nodes, "gpus_per_node": settings.gpus,
            "cpus_per_task": settings.cpus, "mem_gb": settings.memory, **own}
