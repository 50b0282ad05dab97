"""What a training does with its run folder, without its numbers, for a process that is killed at a chosen moment."""

from __future__ import annotations

from pathlib import Path

from kill_toys import serve

from kaf.runs.run_folder import RunFolder
from kaf.runtime.events import Message
from kaf.runtime.files import atomic_write
from kaf.settings.finetune import FinetuneSettings


def train_in(folder: str, how: str) -> None:
    """What a training does with its folder, with its files but without its numbers."""
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


if __name__ == "__main__":
    serve(train_in)
