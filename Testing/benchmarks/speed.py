"""Speed and memory of segmentation, beside the peers in the same run.

    .venv/bin/python Testing/benchmarks/speed.py            # all; the peers need `pip install .[bench]`

Prints one line per figure.  Peers and KAF take turns, so that a machine that slows down slows all of them;
ratios of medians are what to quote.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from kaf.data.plan import compact_network
from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_map
from kaf.modelfile.card import Card
from kaf.modelfile.model import save_model
from kaf.network import build_network
from kaf.phantom.heart import cardiac_phantom
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment
from kaf.worker.client import Client

SHAPE = (64, 256, 256)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def big_volume() -> Volume:
    """256 x 256 x 64 with anatomy-like structure: phantoms stacked, 1 mm pixels as the model's own."""
    slices = []
    for seed in range(4):
        image, _ = cardiac_phantom(seed, slices=16, size=256, spacing=1.0)
        slices.append(image.voxels)
    return Volume(np.concatenate(slices), np.diag([-1.0, -1.0, 5.0, 1.0]))


def compact_model(folder: Path) -> Path:
    """The compact KAF with random weights: 4 classes, pixels of 1 mm, nothing to resample."""
    torch.manual_seed(0)
    settings = compact_network(4, 1)
    labels = tuple(Label(v, f"label {v}", (200, 100, 40 * v)) for v in (1, 2, 3))
    card = Card("compact", "1", "", labels, "any", 1.0, 5.0, "largest-spacing", 1,
                NormalisationSettings().model_dump(), settings.model_dump(), "", "",
                keypoints=KeypointSettings().model_dump())
    path = folder / "compact.safetensors"
    save_model(path, build_network(settings), card)
    return path


def nnunet(volume: np.ndarray, threads: int) -> Callable[[], object] | None:
    """nnU-Net v2's own predictor with its 2-D network for 256 x 256 patches: random weights, no mirroring."""
    os.environ.setdefault("nnUNet_raw", "/nonexistent")
    os.environ.setdefault("nnUNet_preprocessed", "/nonexistent")
    os.environ.setdefault("nnUNet_results", "/nonexistent")
    try:
        from dynamic_network_architectures.architectures.unet import PlainConvUNet
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    except ImportError:
        return None
    from torch import nn

    stages = 7  # what nnU-Net plans for a patch of 256 x 256
    network = PlainConvUNet(
        1, stages, [32, 64, 128, 256, 512, 512, 512], nn.Conv2d, 3, [1, 2, 2, 2, 2, 2, 2], 2, 4, 2, conv_bias=True,
        norm_op=nn.InstanceNorm2d, norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True}).eval()
    predictor = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False,
                                device=torch.device("cpu"), verbose=False, allow_tqdm=False)
    predictor.network = network

    class Configuration:
        patch_size = (256, 256)

    class Labels:
        num_segmentation_heads = 4

    predictor.configuration_manager, predictor.label_manager = Configuration(), Labels()
    predictor.list_of_parameters = [network.state_dict()]
    predictor.allowed_mirroring_axes = None
    data = torch.from_numpy(volume.astype(np.float32)[None] / volume.max())
    torch.set_num_threads(threads)
    return lambda: predictor.predict_sliding_window_return_logits(data)


def basic_unet(volume: np.ndarray) -> Callable[[], object]:
    """MONAI's BasicUNet in 2-D with its own sizes, 4 slices at a time, labels by a maximum over classes."""
    from monai.networks.nets import BasicUNet

    network = BasicUNet(2, 1, 4).eval()
    data = torch.from_numpy(volume.astype(np.float32)[:, None] / volume.max())

    def run() -> object:
        with torch.inference_mode():
            return [network(data[i:i + 4]).max(1).indices for i in range(0, len(data), 4)]
    return run


def versus_peers(folder: Path, rounds: int, threads: int) -> None:
    volume = big_volume()
    model = compact_model(folder)
    cache: dict = {}

    def kaf(precision: str) -> Callable[[], object]:
        settings = SegmentSettings(model=str(model), threads=threads, precision=precision)
        return lambda: segment(volume, settings, cache=cache)

    runners = {"KAF compact (auto)": kaf("auto"), "KAF compact (fp32)": kaf("fp32"),
               "MONAI BasicUNet 2-D": basic_unet(volume.voxels)}
    peer = nnunet(volume.voxels, threads)
    if peer is None:
        print("nnU-Net: not installed (pip install .[bench])")
    else:
        runners["nnU-Net v2 2-D"] = peer
    times: dict[str, list[float]] = {name: [] for name in runners}
    for round_ in range(rounds + 1):
        for name, run in runners.items():
            torch.set_num_threads(threads)
            took = seconds(run)
            if round_:  # the first round warms up
                times[name].append(took)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        ratio = value / medians["KAF compact (auto)"]
        print(f"256x256x64  {name:22} {value:7.2f} s   {ratio:5.2f} x KAF (auto)   "
              f"[{min(times[name]):.2f} .. {max(times[name]):.2f}]")


def command_line(folder: Path, model: str, rounds: int) -> None:
    volume, _ = cardiac_phantom(0)
    scan = folder / "heart.nrrd"
    write_map(scan, volume, overwrite=True)
    command = [sys.executable, "-m", "kaf", "segment", str(scan), "--model", model, "--overwrite",
               "--output", str(folder / "heart-seg.seg.nrrd")]
    times = [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(rounds)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"kaf segment, 10 slices, process start to file: {statistics.median(times):.2f} s "
          f"[{min(times):.2f} .. {max(times):.2f}], peak memory {peak:.0f} MB")


def warm_worker(model: str, rounds: int) -> None:
    volume, _ = cardiac_phantom(0)
    with Client() as client:
        times = []
        for _ in range(rounds + 1):
            times.append(seconds(lambda: client.request(
                "segment", {"model": model}, {"image": (volume.voxels, volume.affine)})))
    print(f"warm worker, 10 slices: {statistics.median(times[1:]):.2f} s (first {times[0]:.2f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cardiac-mr-sax")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command_line(folder, arguments.model, arguments.rounds)
        warm_worker(arguments.model, arguments.rounds)
        versus_peers(folder, arguments.rounds, arguments.threads)
    print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
