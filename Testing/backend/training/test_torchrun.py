"""`torchrun --nproc-per-node 2 -m kaf pretrain`: one run folder, one voice, and the weights of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from pretrain_toys import small_pretraining
from small_models import write_phantoms
from worker_toys import environment

from kaf.modelfile.weights_file import load_weights
from kaf.runtime.errors import Cancelled
from kaf.runtime.events import Metric
from kaf.settings.pretrain import PretrainSettings
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


def two(program: list[str], settings: PretrainSettings, folder: Path, *flags: str) -> subprocess.CompletedProcess:
    """The command in two processes, with the settings from a file."""
    file = folder / "settings.json"
    values = settings.model_dump(mode="json", exclude={"data", "output", "resume", "overwrite"})
    file.write_text(json.dumps(values))
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *program, "pretrain",
         settings.data, "--output", settings.output, "--settings", str(file), *flags],
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
