"""Two processes that share a batch do what one process does with the whole of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from pretrain_toys import one_step, some_cases
from safetensors.torch import load_file, save_file

METHODS = ("kaf", "pcl", "simclr", "pgl", "lrc", "lrc-labels", "bim", "mae", "kaf+bim")


def work(rank: int, world: int, folder: str) -> None:
    """One process of a group: a step of every method, saved."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    cases = some_cases()
    for method in METHODS:
        save_file({name: value.contiguous() for name, value in one_step(method, cases).items()},
                  f"{folder}/{method}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (2, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_loss_and_gradients_of_one(together, method):
    expected = one_step(method, some_cases())
    scale = max(float(value.abs().max()) for name, value in expected.items() if name.startswith("gradient"))
    assert scale > 0
    for rank in (0, 1):
        found = load_file(together / f"{method}-{rank}.safetensors")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            limit = 1e-5 * (scale if name.startswith("gradient") else 1)
            assert torch.allclose(found[name].double(), value.double(), rtol=1e-5, atol=limit), name
