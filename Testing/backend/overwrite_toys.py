"""What a training does with its run folder, without its numbers, by a process that is killed at a chosen moment."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from kaf.errors import KafError
from kaf.events import Message
from kaf.files import atomic_write
from kaf.settings import FinetuneSettings
from kaf.training.run import RunFolder

_CHANGES = ("mkdir", "replace", "rename", "unlink", "rmdir")


def end_at(count: int) -> None:
    """This process ends, as if it were killed, at the n-th change that it makes on the disk."""
    left = [count]

    def counted(change):
        def call(*arguments, **more):
            left[0] -= 1
            if not left[0]:
                os._exit(9)
            return change(*arguments, **more)
        return call

    os.fsync = lambda handle: None  # a kill is no power failure
    for name in _CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def train_in(folder: str, how: str, end: int) -> None:
    """What a training does with its folder, with its files but without its numbers; ``end`` 0: to its end."""
    if end:
        end_at(end)
    settings = FinetuneSettings(data="scans", output=folder, name="new", resume=how == "resume",
                                overwrite=how == "overwrite")
    with RunFolder(Path(folder), settings, settings.resume, settings.overwrite) as run:
        run.recording(lambda event: None)(Message("hello"))
        run.write_json("plan.json", {"plan": "new"})
        (run.path / "checkpoints").mkdir(exist_ok=True)
        for step in (5, 6):
            atomic_write(run.path / "checkpoints" / f"checkpoint-{step:08d}.safetensors", f"new {step}")
            run.checkpointed()
        atomic_write(run.path / "model.safetensors", "new")


def serve() -> None:
    """For each line ``[folder, how, end]`` a child that does it; its exit code is answered, 1 for a KafError."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            with contextlib.suppress(KafError):
                train_in(*json.loads(line))
                os._exit(0)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
