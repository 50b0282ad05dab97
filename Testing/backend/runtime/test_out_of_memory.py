"""Memory that runs out is recognised by one function, whatever library and system says so."""

from __future__ import annotations

import errno

import cv2
import numpy as np
import pytest
import torch
from training_toys import Task

from kaf.cli import entry
from kaf.imaging.keypoints import Keypoints
from kaf.inference.slices import SlicePredictor
from kaf.network import Features
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.errors import InputError, ResourceError, WorkerError, lost_device
from kaf.runtime.events import from_json
from kaf.runtime.out_of_memory import is_about_a_gpu, is_gpu_failure, is_out_of_memory
from kaf.training.loop import Loop
from kaf.training.schedule import Schedule
from kaf.worker.process import as_kaf_error

CPU = DeviceChoice(torch.device("cpu"), False, "cpu (as asked)")


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


def windows_error(number: int, words: str) -> OSError:
    error = OSError(errno.EINVAL, words)
    error.winerror = number  # type: ignore[attr-defined]
    return error


ON_A_GPU = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8 GiB"),
    OutOfMemoryError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.56 GB, other allocations: 1.10 GB, max allowed: 6.80 GB)."
                 " Tried to allocate 768.00 MB on private pool."),
    RuntimeError("Invalid buffer size: 19.38 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]
ON_THE_COMPUTER = [
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                 "to allocate 40000000000000 bytes. Error code 12 (Cannot allocate memory)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory: you tried to "
                 "allocate 40000000000000 bytes."),
    RuntimeError("unable to mmap 400 bytes from file </x>: Cannot allocate memory (12)"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("bad allocation"),
    RuntimeError("Exception thrown in SimpleITK ImageFileReader_Execute: Failed to allocate memory for image."),
    cv2.error("OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes in function "
              "'OutOfMemoryError'"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    windows_error(1455, "The paging file is too small for this operation to complete"),
    windows_error(8, "Not enough memory resources are available to process this command"),
]
SOMETHING_ELSE = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ValueError("a text that says out of memory"),
    KeyError("out of memory"),
    InputError("scan.nii", "is called out of memory", "Rename it."),
    OSError(errno.ENOSPC, "No space left on device"),
    windows_error(112, "There is not enough space on the disk"),
    cv2.error("OpenCV(4.10.0) error: (-215:Assertion failed) !src.empty()"),
]


@pytest.mark.parametrize("error", [*ON_A_GPU, *ON_THE_COMPUTER], ids=lambda error: str(error)[:40])
def test_memory_that_ran_out_is_recognised(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", SOMETHING_ELSE, ids=lambda error: str(error)[:40])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_a_gpus_memory_is_reported_from_the_computers():
    assert all(map(is_about_a_gpu, ON_A_GPU))
    assert not any(map(is_about_a_gpu, ON_THE_COMPUTER))
    assert not is_about_a_gpu(RuntimeError("hippocampus: out of memory"))


@pytest.mark.parametrize("make", [lambda: torch.empty(1 << 60, dtype=torch.uint8), lambda: np.empty(1 << 60, np.uint8)],
                         ids=["torch", "numpy"])
def test_what_the_libraries_say_here_is_recognised(make):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        make()
    assert is_out_of_memory(caught.value)


@pytest.fixture(params=[*ON_A_GPU, *ON_THE_COMPUTER], ids=lambda error: str(error)[:40])
def full(request):
    """What each library and system says: the words of CUDA, ROCm, MPS, Linux and Windows."""
    return request.param


def test_the_worker_tells_it(full):
    reported = as_kaf_error(full, "segment")
    assert type(reported) is ResourceError
    assert "ran out of memory" in reported.reason


def test_the_command_line_and_with_it_every_job_tells_it(full, monkeypatch, capsys):
    def refuse(*_):
        raise full

    monkeypatch.setattr("kaf.cli.devices.main", refuse)
    assert entry.main(["devices", "--events"]) == 1
    (event,) = map(from_json, capsys.readouterr().out.splitlines())
    assert event.kind == "ResourceError"
    assert "ran out of memory" in event.text


def test_inference_takes_fewer_slices_at_a_time(full):
    class Full(torch.nn.Module):
        def forward(self, image, *_, **__):
            if len(image) > 2:
                raise full
            mean = image.mean((1, 2, 3), keepdim=True)
            return Features(torch.cat([mean, -mean], 1).expand(-1, -1, *image.shape[2:]), [], mean, [])

    points = Keypoints(np.zeros((1, 2), np.float32), np.zeros(1, np.float32))
    predictor = SlicePredictor(Full(), CPU, batch=4)
    parts = [part for part, _ in predictor(np.zeros((4, 16, 16), np.float32), [points] * 4)]
    assert parts == [[0, 1], [2, 3]]
    assert predictor.batch == 2


def test_training_takes_the_batch_in_parts(full):
    class Full(Task):
        def loss(self, batch, average, progress):
            if len(batch[1]) > 1:
                raise full
            return super().loss(batch, average, progress)

        def split(self, batch, parts):
            return [(batch[0], part) for part in batch[1].split(1)] if parts == 2 else []

    loop = Loop(Full(), Schedule(0.05, 0.1, 0.5, 0.9, steps=2), CPU, None)
    loop.run()
    assert loop.state.parts == 2


@pytest.mark.parametrize("words", [
    "CUDA error: device-side assert triggered", "HIP error: invalid device function",
    "CUDA error: an illegal memory access was encountered", "MPS backend failed to encode the command buffer"])
def test_a_gpu_that_stopped_working_is_reported_from_one_that_is_full(words):
    """By the worker and by the command line alike."""
    error = RuntimeError(words)
    assert is_gpu_failure(error)
    assert type(lost_device(error)) is ResourceError
    assert type(as_kaf_error(error, "segment")) is WorkerError
    assert not is_gpu_failure(ValueError(words))
    assert not is_gpu_failure(RuntimeError("CUDA error: out of memory"))
