"""The training loop of fine-tuning and pretraining: gradients, EMA, mixed precision (AMP), DDP, early stopping.

The task brings the batches and the loss.  Gradients are averaged over all DDP processes; a step with a NaN loss is
skipped; where memory runs out, batches are taken in parts (gradient accumulation).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kaf.data.loader import batches, resolved_workers
from kaf.runtime import ranks
from kaf.runtime.defer_signals import or_not_at_all, whole
from kaf.runtime.device_choice import DeviceChoice, empty_caches
from kaf.runtime.errors import DivergedError, InputError, OutputError, ResourceError
from kaf.runtime.events import Message, Metric, OnEvent, Progress, ignore
from kaf.runtime.message_codes import RESUMED, TRAINING
from kaf.runtime.out_of_memory import is_out_of_memory
from kaf.training.checkpoint import load_checkpoint, save_checkpoint
from kaf.training.ema import EMA
from kaf.training.forecast import Pace
from kaf.training.schedule import Schedule, learning_rate_at, make_optimiser

_MOST_NAN_STEPS = 3
_REPORT_EVERY = 10


class Task(Protocol):
    """What the loop trains.

    batch: of a step, made in a background thread; it must depend on the step alone.  loss: a scalar and named terms;
    ``teacher`` is the EMA of the network, ``progress`` 0..1 of the run.  split: the batch in parts whose mean loss is
    the loss of the batch, or nothing where it is not a mean over items.  figures: further metrics, asked for every few
    steps.  validate: metrics of the EMA network; "Dice", if any, decides on early stopping.
    """

    network: nn.Module

    def batch(self, step: int) -> Any: ...

    def loss(self, batch: Any, teacher: nn.Module, progress: float) -> tuple[Tensor, dict[str, Tensor]]: ...

    def split(self, batch: Any, parts: int) -> list[Any]: ...

    def figures(self) -> dict[str, float]: ...

    def validate(self, network: nn.Module) -> dict[str, float]: ...


@dataclass
class State:
    """Where a run is; saved with every checkpoint."""

    step: int = 0
    elapsed: float = 0.0
    best: float = -math.inf
    without_gain: int = 0
    waited: float = 0.0
    parts: int = 1
    left_out: int = 0
    validations: list[dict[str, float]] = field(default_factory=list)


class Loop:
    """Runs a task to the end of its budget.

    Args:
        checkpoints: their folder, or None for a run too short to need any.
        resume: continue from the newest undamaged checkpoint: same weights, EMA, optimiser state, learning rate and
            order of the data, bit for bit.
        on_saved: called after every checkpoint.
        on_best: called with the EMA network after a validation that was better than all before.

    Raises:
        ModelError: the checkpoints are damaged, or those of another network or optimiser.
        InputError: the processes do not see the same checkpoint.
    """

    def __init__(self, task: Task, schedule: Schedule, place: DeviceChoice, checkpoints: Path | None,
                 resume: bool = False, on_event: OnEvent = ignore, on_saved: Callable[[], None] = lambda: None,
                 on_best: Callable[[nn.Module], None] = lambda network: None):
        self.task, self.schedule, self.place = task, schedule, place
        self._checkpoints, self._send, self._on_saved, self._on_best = checkpoints, on_event, on_saved, on_best
        self.network = place.put(task.network)
        torch.backends.cudnn.benchmark = place.device.type == "cuda"  # every batch has the same shapes
        self.ema = EMA(self.network, schedule.ema)
        self._optimiser = make_optimiser(self.network, schedule)
        self.state = State()
        if resume and checkpoints is not None:
            saved = load_checkpoint(checkpoints, self._modules(), self._optimiser, on_event)
            if saved is not None:
                self.state = State(**saved)
                text = f"Resuming from step {self.state.step}."
            else:
                text = "Resuming from step 0, because no checkpoint had been written yet."
            on_event(Message(text, code=RESUMED, data={"step": self.state.step}))
            if ranks.agree(self.state.step) != self.state.step:
                raise InputError(checkpoints, f"process {ranks.rank()} sees another checkpoint than the first one",
                                 "Put the run folder where all processes see it.")

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.ema.network}  # the names in checkpoint files

    def progress(self) -> float:
        """The share of the budget that is used, 0..1."""
        s = self.schedule
        parts = [self.state.step / s.steps] if s.steps else []
        parts += [self.state.elapsed / s.seconds] if s.seconds else []
        return min(1.0, max(parts))

    def run(self) -> nn.Module:
        """Train to the end of the budget, or until early stopping; the EMA network.

        Raises:
            DivergedError: the loss was NaN or infinite several times in a row, or always.
            ResourceError: memory does not suffice, or the network cannot be validated.
            OutputError: a checkpoint cannot be written.
        """
        state, last = self.state, time.monotonic()
        checked = saved = state.elapsed
        bad = 0
        pace = Pace(self.schedule, self.place.device, state, self._send)
        made = batches(self.task.batch, state.step, resolved_workers(self.schedule.workers, self.place.device),
                       self.place.device.type == "cuda")
        try:
            while self.progress() < 1:
                begin = time.monotonic()
                batch = next(made)
                state.waited += time.monotonic() - begin
                terms = self._step(batch)
                bad = 0 if terms else bad + 1
                if bad == _MOST_NAN_STEPS:
                    raise self._diverged(bad)
                if bad:
                    self._warn_of_skipped_step()
                now = time.monotonic()
                state.elapsed, last = ranks.agree(state.elapsed + now - last), now
                pace.update(state)
                if terms and state.step % _REPORT_EVERY == 0:
                    self._report(terms)
                if self._is_validation_due(state.elapsed - checked):
                    if ranks.agree(float(self._validate())):
                        break
                    state.elapsed, last = ranks.agree(state.elapsed + time.monotonic() - last), time.monotonic()
                    checked = state.elapsed
                if bad == 0 and state.elapsed - saved >= self.schedule.checkpoint_every:
                    self.save()
                    saved = state.elapsed
        finally:
            made.close()
        if state.step and state.left_out == state.step:
            raise self._diverged(state.step)
        self.save()
        if not state.validations or state.validations[-1]["step"] != state.step:
            self._validate()
        return self.ema.network

    def _is_validation_due(self, seconds: float) -> bool:
        """Whether to validate now, so many seconds after the last time."""
        steps = self.schedule.validate_steps
        return self.state.step % steps == 0 if steps else seconds >= self.schedule.validate_every

    def _step(self, batch: Any) -> dict[str, float]:
        """One optimiser step; the loss terms, or nothing where the loss is NaN or infinite (the step is skipped)."""
        s = self.schedule
        rate = learning_rate_at(self.progress(), s.learning_rate, s.warm_up, s.last_rate)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._train_mode()
        with or_not_at_all(self.network):
            loss, terms = self.gradients(batch, self.progress())
            ranks.average_gradients(self.network.parameters())
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), s.clip or math.inf)
            sound = bool(torch.isfinite(norm + ranks.all_sum(loss)))
        with whole():
            self.state.step += 1
            if not sound:
                self.state.left_out += 1
                self._restore_statistics()
                return {}
            self._optimiser.step()
            self.ema.update(self.network, self.state.step)
        if self.state.step % _REPORT_EVERY:
            return {"loss": 0.0}
        values = {"loss": loss, "gradient norm": norm, **terms}
        figures = self.task.figures()
        return {name: float(value) for name, value in values.items()} | {"learning rate": rate} | figures

    def gradients(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and terms of a batch, gradients in the parameters; accumulated over parts once memory has run out."""
        while True:
            parts = self.task.split(batch, self.state.parts) if self.state.parts > 1 else [batch]
            total: Tensor | float = 0.0
            self._optimiser.zero_grad(set_to_none=True)
            try:
                for part in parts:
                    with self.place.autocast():
                        loss, terms = self.task.loss(part, self.ema.network, progress)
                    (loss / len(parts)).backward()
                    total = total + loss.detach() / len(parts)
                assert isinstance(total, Tensor)
                return total, terms
            except Exception as error:  # which kind of error it is depends on the library
                if not is_out_of_memory(error):
                    raise
                short = error.__class__.__name__
            self._take_smaller_parts(batch, short)

    def _take_smaller_parts(self, batch: Any, short: str) -> None:
        parts = 2 * self.state.parts
        # Several processes sum over all of them within a loss: one of them cannot start again by itself.
        why = ("with several processes a batch cannot be taken in parts" if ranks.world() > 1 else
               "" if self.task.split(batch, parts) else
               "this loss needs the whole batch at once" if parts == 2 else
               f"the batch cannot be split into more than {parts // 2} parts")
        if why:
            raise ResourceError(f"device {self.place.device}", f"ran out of memory ({short}), and {why}",
                                "Use a smaller --batch or --patch, or another device.")
        self.state.parts = parts
        empty_caches()
        self._send(Message(f"Out of memory: each batch is now processed in {parts} parts, whose gradients are "
                           "accumulated, so that the batch size stays the same.", "warning"))

    def _restore_statistics(self) -> None:
        """Running statistics that have become NaN would stay so: replace them by those of the EMA."""
        for mine, averaged in zip(self.network.buffers(), self.ema.network.buffers(), strict=True):
            if not bool(torch.isfinite(mine).all()):
                mine.copy_(averaged)

    def _train_mode(self) -> None:
        self.network.train()
        if self.schedule.freeze_norms:
            for module in self.network.modules():
                if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    module.eval()

    def _warn_of_skipped_step(self) -> None:
        """A warning at the first step that was skipped, the tenth, the hundredth: the log stays short."""
        count, step = self.state.left_out, self.state.step
        if str(count).strip("0") == "1":
            before = f" ({count} steps skipped so far)" if count > 1 else ""
            self._send(Message(
                f"Step {step} was skipped, because its loss or gradient was NaN or infinite{before}. If this happens "
                "often, lower the learning rate, and check for damaged scans with `kaf data scan`.", "warning"))

    def _diverged(self, times: int) -> DivergedError:
        step = self.state.step
        kept = self._checkpoints is not None and any(self._checkpoints.glob("checkpoint-*.safetensors"))
        then = f"resume: the last good checkpoint is kept in {self._checkpoints}" if kept else "start again"
        return DivergedError(
            f"training step {step}", f"the loss was NaN or infinite {times} times in a row "
            f"(batches {step - times + 1} to {step})" if times > 1 else "the loss became NaN or infinite",
            f"Lower the learning rate (now {self.schedule.learning_rate:g}) and {then}.")

    def _report(self, terms: dict[str, float]) -> None:
        state, progress = self.state, self.progress()
        terms["seconds per step"] = state.elapsed / max(1, state.step)
        terms["share waiting for data"] = state.waited / max(state.elapsed, 1e-9)
        self._send(Metric(state.step, terms))
        left = state.elapsed * (1 - progress) / max(progress, 1e-9)
        self._send(Progress("training", progress, 1.0, left, TRAINING))

    def _validate(self) -> bool:
        """Validate the EMA network; True where early stopping is due."""
        try:
            values = self.task.validate(self.ema.network)
        except InputError as error:
            raise ResourceError(f"training step {self.state.step}", "the network could not be validated "
                                f"({error.subject}: {error.reason})",
                                f"Lower the learning rate (now {self.schedule.learning_rate:g}), or continue with "
                                "--resume.") from error
        if not values:
            return False
        state = self.state
        self._send(Metric(state.step, {f"validation {name}": value for name, value in values.items()}))
        state.validations.append({"step": state.step, **values})
        if "Dice" not in values:
            return False
        score = values["Dice"]
        if score > state.best:
            self._on_best(self.ema.network)
        state.without_gain = 0 if score > state.best else state.without_gain + 1
        state.best = max(state.best, score)
        if self.schedule.patience and state.without_gain >= self.schedule.patience:
            self._send(Message(f"Early stopping: no gain in {state.without_gain} validations."))
            return True
        return False

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: the run folder has disappeared, or cannot be written.
        """
        if self._checkpoints is not None and ranks.rank() == 0:
            if not self._checkpoints.parent.is_dir():
                raise OutputError(self._checkpoints.parent, "the run folder disappeared during the run",
                                  "Restore it and --resume, or start again in another folder.")
            save_checkpoint(self._checkpoints, self.state.step, self._modules(), self._optimiser,
                            vars(self.state).copy())
            self._on_saved()
