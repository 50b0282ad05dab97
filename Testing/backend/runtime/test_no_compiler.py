"""torch's compiler, which takes 2 s of processor time to import, stays out of every process."""

import subprocess
import sys

import pytest
import torch
from made_models import tiny_model
from worker_toys import environment

from kaf.runtime.no_compiler import plain_optimiser

PROGRAM = """
import sys
from pathlib import Path

import torch

from kaf.modelfile.model import load_model
from kaf.training.schedule import Schedule, make_optimiser

network, card = load_model(Path(sys.argv[1]))
optimiser = make_optimiser(network, Schedule(0.05, 0, 1, 0.9, steps=5, optimiser=sys.argv[2]))
network.train()
for _ in range(2):
    optimiser.zero_grad()
    sum(value.square().sum() for value in network.parameters()).backward()
    optimiser.step()
optimiser.load_state_dict(optimiser.state_dict())
print([name for name in sys.modules if name == "torch._dynamo" or name.startswith("monai")])
"""


def test_neither_loading_a_model_nor_training_imports_it(tmp_path):
    model = tiny_model(tmp_path / "tiny.safetensors")
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(model), "adamw"], env=environment(), text=True,
                          capture_output=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(("kind", "more"), [
    (torch.optim.AdamW, {}), (torch.optim.SGD, {"momentum": 0.9}),
    (torch.optim.RAdam, {"decoupled_weight_decay": True})])
def test_its_steps_are_those_of_torch(kind, more):
    start = torch.randn(7, 5)
    both = [start.clone().requires_grad_(), start.clone().requires_grad_()]
    plain = plain_optimiser(kind, [{"params": both[:1], "weight_decay": 0.1}], lr=0.1, **more)
    torchs = kind([{"params": both[1:], "weight_decay": 0.1}], lr=0.1, **more)
    for _ in range(8):
        for value, optimiser in zip(both, (plain, torchs), strict=True):
            optimiser.zero_grad()
            value.sin().sum().backward()
            optimiser.step()
    assert torch.equal(*both)
    assert not torch.equal(both[0], start)
    assert both[0].requires_grad
