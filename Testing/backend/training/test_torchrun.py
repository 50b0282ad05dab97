"""`torchrun --nproc-per-node 2 -m kaf pretrain`: one run folder, one voice, and the weights of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from finetune_toys import small_run
from pretrain_toys import small_pretraining
from small_models import SMALL, write_phantoms
from worker_toys import environment

from kaf.modelfile.weights_file import load_weights
from kaf.runtime.errors import Cancelled, SettingsError
from kaf.runtime.events import Metric
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.training.loss import dice_cross_entropy
from kaf.training.processes import check_processes
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun's gloo is not tried there")
ONE_FAILS = """
import os
from kaf.cli import entry as cli
from kaf.runtime.errors import InputError
from kaf.verbs import pretrain

if os.environ["RANK"] == "1":
    pretrain.make_methods = lambda *_: (_ for _ in ()).throw(InputError("slice 7", "is odd", "Fix it."))
cli.entry()
"""


def two(program: list[str], settings: PretrainSettings | FinetuneSettings, folder: Path, *flags: str
        ) -> subprocess.CompletedProcess:
    """The command in two processes, with the settings from a file."""
    file = folder / "settings.json"
    values = settings.model_dump(mode="json", exclude={"data", "output", "resume", "overwrite"})
    file.write_text(json.dumps(values))
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
             "--rdzv-endpoint", "localhost:0", "--local-addr", "127.0.0.1"]  # --standalone asks for a host name
    return subprocess.run(
        [*start, *program, settings.verb(), settings.data, "--output", settings.output, "--settings", str(file),
         *flags],
        env={**environment(), "OMP_NUM_THREADS": "1"}, text=True, capture_output=True, timeout=600)


def test_a_run_begun_by_one_process_is_ended_by_two(tmp_path):
    data = write_phantoms(tmp_path / "scans")
    # Not Adam: it makes large what is only rounding, such as the gradient of a bias before a normalisation.
    values = {"method": "kaf", "epochs": 9, "optimiser": "sgd", "learning_rate": 1e-3}
    straight = pretrain(small_pretraining(tmp_path, data, "straight", **values))
    settings = small_pretraining(tmp_path, data, "shared", **values)

    def stop(event):
        if isinstance(event, Metric):
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        pretrain(settings, stop)
    done = two(["-m", "kaf"], settings, tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    run = Path(settings.output)
    assert done.stdout.count("written: ") == 1
    assert done.stderr.count("2 processes.") == 1
    assert done.stderr.count("Resuming from step 10.") == 1
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = Counter(line["step"] for line in lines if line["event"] == "metric" and "loss" in line["values"])
    assert steps == {10: 1, 20: 1}
    assert [line["event"] for line in lines].count("result") == 1
    expected, found = load_weights(straight)[0], load_weights(run / "model.safetensors")[0]
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_an_error_of_one_process_ends_both_and_is_reported_once(tmp_path):
    data = write_phantoms(tmp_path / "scans", ("p1", "p2"))
    (tmp_path / "one_fails.py").write_text(ONE_FAILS)
    settings = small_pretraining(tmp_path, data, method="simclr")
    done = two([str(tmp_path / "one_fails.py")], settings, tmp_path)
    assert done.returncode != 0
    reported = [line for line in done.stderr.splitlines() if line.startswith("kaf: ")]
    assert reported == ["kaf: slice 7: is odd. Fix it."], done.stderr
    assert "Traceback" not in done.stderr.partition("ChildFailedError")[0].partition("torch/distributed")[0]


def test_fine_tuning_in_two_processes_is_that_of_one(tmp_path):
    """Each of two processes opened the run folder for itself, and the second one found that it "already contains a
    run"."""
    data = write_phantoms(tmp_path / "scans")
    values = {"network": SMALL, "optimiser": "sgd", "learning_rate": 1e-2, "batch": 4, "epochs": 5, "validation": 0.3,
              "validate_epochs": 1.5, "keep_best": True}
    straight = finetune(small_run(tmp_path, data, "straight", **values))
    settings = small_run(tmp_path, data, "shared", **values)
    done = two(["-m", "kaf"], settings, tmp_path)
    assert done.returncode == 0, done.stderr
    run = Path(settings.output)
    assert done.stdout.count("written: ") == 1
    assert done.stderr.count("2 processes") == 1
    assert (run / "best.safetensors").is_file()
    told = [[json.loads(line) for line in (place / "events.jsonl").read_text().splitlines()]
            for place in (straight.parent, run)]
    dice = [[line["values"]["validation Dice"] for line in lines
             if line["event"] == "metric" and "validation Dice" in line["values"]] for lines in told]
    assert len(dice[0]) > 1
    assert dice[1] == pytest.approx(dice[0], abs=2e-2)
    assert json.loads((run / "split.json").read_text()) == json.loads((straight.parent / "split.json").read_text())
    expected, found = load_weights(straight)[0], load_weights(run / "model.safetensors")[0]
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-2, atol=2e-3, msg=name)


@pytest.mark.parametrize(("values", "words"), [
    ({"batch": 3}, "batch: 3 patches cannot be divided among 2 processes"),
    ({"unlabelled": "others"}, "unlabelled: is for one process")], ids=str)
def test_what_several_processes_cannot_share(monkeypatch, tmp_path, values, words):
    monkeypatch.setattr("kaf.runtime.ranks.world", lambda: 2)
    with pytest.raises(SettingsError, match=words):
        check_processes(small_run(tmp_path, tmp_path, **values))


def test_the_loss_is_that_of_the_joint_batch(monkeypatch):
    monkeypatch.setattr("kaf.runtime.ranks.world", lambda: 2)
    monkeypatch.setattr("kaf.runtime.ranks.all_sum", lambda values: 2 * values)  # as if the other one had the same
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    joint = dice_cross_entropy(logits, labels)
    monkeypatch.undo()
    alone = dice_cross_entropy(torch.cat([logits, logits]), torch.cat([labels, labels]))
    torch.testing.assert_close(joint, alone)
