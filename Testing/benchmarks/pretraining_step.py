"""A KAF pretraining step beside the plain formulation of the paper: time, memory, and the same losses.

    .venv/bin/python Testing/benchmarks/pretraining_step.py

Plain: tokens laid on a dense map of 256 channels and convolved, two identical streams of keypoints that attend to
themselves and to each other, a softmax written out, 100 Sinkhorn iterations through autograd.  Ours: the code of the
package.  Batch 8 pairs of 192 x 192, published width 32, 8 pairs of blocks per scale, all three losses.  The two take
turns in one process for time; each runs alone in a process for peak memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from small_models import listening

from kaf.data.views import View, ViewBatch
from kaf.methods.kaf import method as kaf_method
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.kaf.sinkhorn import marginals, with_dustbins
from kaf.methods.registry import method_class
from kaf.network import build_network
from kaf.network.attention import AttentionBlock
from kaf.network.fusion import KeypointFusion
from kaf.network.occupied_cells import OccupiedCells
from kaf.settings.network import NetworkSettings
from kaf.training.pretraining import Pretrainer

BATCH, SIZE, KEYPOINTS = 8, 192, 150


def pretrainer(blocks: int = 16) -> Pretrainer:
    torch.manual_seed(0)
    settings = NetworkSettings(width=32, blocks=blocks)
    method = method_class("kaf")(KafSettings(standardise=False), settings)
    network = listening(build_network(settings))
    return Pretrainer(network, {"kaf": method}, {"kaf": 1.0}).to(memory_format=torch.channels_last)


def pairs() -> ViewBatch:
    """Smooth random slices with random keypoints, of which about 40 % match."""
    generator = torch.Generator().manual_seed(1)

    def view() -> View:
        coarse = torch.randn(BATCH, 1, 24, 24, generator=generator)
        image = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic")
        points = torch.rand(BATCH, KEYPOINTS, 2, generator=generator) * (SIZE - 1)
        return View(image, points, torch.ones(BATCH, KEYPOINTS, dtype=torch.bool),
                    torch.ones(BATCH, SIZE, SIZE, dtype=torch.bool), torch.eye(2, 3).repeat(BATCH, 1, 1))

    order = torch.rand(BATCH, KEYPOINTS, generator=generator).argsort(1)
    matches = torch.where(torch.rand(BATCH, KEYPOINTS, generator=generator) < 0.4, order, -1)
    return ViewBatch({"anchor": view(), "neighbour": view()}, torch.rand(BATCH, generator=generator), matches,
                     torch.arange(BATCH))


def attend(block: AttentionBlock, tokens: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """One block, keypoint by keypoint, with the softmax written out; keys and values from ``source``."""
    batch, count, width = tokens.shape

    def heads(values: Tensor) -> Tensor:
        return values.view(batch, count, block.heads, -1).transpose(1, 2)

    q = heads(F.linear(tokens, block.qkv.weight[:width], block.qkv.bias[:width]))
    k, v = (heads(part) for part in F.linear(source, block.qkv.weight[width:], block.qkv.bias[width:]).chunk(2, -1))
    logits = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~mask[:, None, None], -torch.inf)
    message = (logits.softmax(-1) @ v).transpose(1, 2).reshape(batch, count, width)
    return tokens + block.mlp(torch.cat([tokens, block.merge(message)], -1), mask.to(tokens.dtype))


def plain_fusion(layer: KeypointFusion, features: Tensor, sites: OccupiedCells, capture: bool = False
                 ) -> tuple[Tensor, Tensor, None]:
    """The fusion layer on keypoints as they are, each by itself, and a dense map."""
    cells, mask = sites.to_keypoints(sites.cells[..., None]).squeeze(-1), sites.real
    places = sites.to_keypoints(sites.positions)
    alone = OccupiedCells(cells, places, mask.to(features.dtype), sites.inverse, mask, sites.height, sites.width)
    batch, channels = features.shape[:2]
    gathered = features.flatten(2).gather(2, cells[:, None].expand(-1, channels, -1)).transpose(1, 2)
    first = second = layer.embed(gathered) + layer.position(alone)
    for index, block in enumerate(layer.blocks):
        sources = (first, second) if index % 2 == 0 else (second, first)
        first, second = attend(block, first, sources[0], mask), attend(block, second, sources[1], mask)
    share = first * (mask / sites.to_keypoints(sites.counts[..., None]).squeeze(-1).clamp(min=1))[..., None]
    dense = first.new_zeros(batch, sites.height * sites.width, first.shape[-1])
    dense = dense.scatter_add(1, cells[..., None].expand_as(first), share.to(dense.dtype))
    dense = dense.transpose(1, 2).reshape(batch, -1, sites.height, sites.width)
    dense = layer.diffuse(F.relu(layer.spread_norm(layer.spread(dense))))
    # The caller expands tokens from sites to keypoints: give each site the token of one of its keypoints.
    tokens = first.new_zeros(batch, sites.cells.shape[1], first.shape[-1])
    return dense, tokens.scatter(1, sites.inverse[..., None].expand_as(first), first), None


def plain_transport(scores: Tensor, rows: Tensor, columns: Tensor, dustbin: Tensor, iterations: int = 100) -> Tensor:
    """100 Sinkhorn iterations in the graph."""
    a, b = marginals(rows, columns)
    full = with_dustbins(scores, dustbin)
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(iterations):
        u = a.log() - (full + v[:, None, :]).logsumexp(2)
        v = b.log() - (full + u[:, :, None]).logsumexp(1)
    return full + u[:, :, None] + v[:, None, :]


@contextlib.contextmanager
def plain() -> Iterator[None]:
    kept = KeypointFusion.forward, kaf_method.log_transport
    KeypointFusion.forward, kaf_method.log_transport = plain_fusion, plain_transport  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        KeypointFusion.forward, kaf_method.log_transport = kept  # type: ignore[method-assign]


def step(network: Pretrainer, batch: ViewBatch, optimiser: torch.optim.Optimizer, bf16: bool) -> dict[str, float]:
    network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss, terms, _ = network(batch, 1.0, None)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return {name: float(value) for name, value in terms.items()}


def alone(kind: str, steps: int) -> None:
    """Two steps in this process, for its peak memory."""
    network, batch = pretrainer(), pairs()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.0)
    with plain() if kind == "plain" else contextlib.nullcontext():
        for _ in range(steps):
            step(network, batch, optimiser, kind == "bf16")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        alone(arguments.alone, 2)
        return
    kinds = ("plain", "fp32", "bf16")
    memory = {kind: float(subprocess.run(
        [sys.executable, __file__, "--alone", kind, "--threads", str(arguments.threads)], check=True,
        capture_output=True, text=True).stdout) for kind in kinds}
    network, batch = pretrainer(), pairs()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.0)  # the losses of every turn are those of the same weights
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    terms = {}
    for turn in range(arguments.rounds + 1):
        for kind in kinds:
            start = time.perf_counter()
            with plain() if kind == "plain" else contextlib.nullcontext():
                terms[kind] = step(network, batch, optimiser, kind == "bf16")
            if turn:
                times[kind].append(time.perf_counter() - start)
    for kind in kinds:
        middle = statistics.median(times[kind])
        print(f"{kind:6} {middle:6.2f} s a step [{min(times[kind]):.2f} .. {max(times[kind]):.2f}], "
              f"{statistics.median(times['plain']) / middle:.2f} x plain; peak {memory[kind]:.2f} GB, "
              f"{memory[kind] / memory['plain']:.2f} of plain")
    apart = {name: abs(terms["fp32"][name] - value) for name, value in terms["plain"].items() if "match" not in name
             or name.endswith("matching")}
    print(json.dumps({"losses, plain": terms["plain"], "difference in fp32": apart, "bf16": terms["bf16"]}, indent=1))


if __name__ == "__main__":
    main()
