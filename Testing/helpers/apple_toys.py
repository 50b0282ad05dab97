"""An Apple GPU for computers that have none: tensors that say they are on ``mps`` and refuse float64, as Metal does.

They compute on the CPU and refuse float64 in torch's words.  They cannot show which operations torch lacks on a
real one, nor what rounds differently there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Variable
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from kaf.runtime.device_choice import DeviceChoice

APPLE = DeviceChoice(torch.device("mps"), False, "test")
_DOUBLE = ("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. Please use "
           "float32 instead.")


class AppleTensor(Tensor):
    """A tensor on ``mps``, whose values lie in ``inner`` on the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> AppleTensor:
        with torch.inference_mode(False):  # a view of a tensor from outside it could not be made otherwise
            return Tensor._make_wrapper_subclass(
                cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
                device=inner.device)

    def __init__(self, inner: Tensor):
        self.inner = inner

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """To torch's own core it is on the CPU; whoever asks in Python is told otherwise."""
        return torch.device("mps", 0)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"AppleTensor({self.inner})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """That there is this method tells a module to take the tensor as it is, not its memory."""
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(parts: dict[str, Tensor], context: None, size: Any, stride: Any) -> AppleTensor:
        return AppleTensor(parts["inner"])

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.cpu:
            return _download(args[0])
        if function is Tensor.to and isinstance(args[0], cls) and not any(isinstance(a, Tensor) for a in args[1:]):
            return _moved(*args, **kwargs)
        if function is Tensor.numpy:
            raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first")
        if function is Tensor.tolist:
            return args[0].inner.tolist()
        if function is Tensor.new_tensor:
            return _upload(torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)))
        if function is Tensor.backward:  # not below: functions of ours that it calls see the devices as well
            return Variable._execution_engine.run_backward(
                (args[0],), (torch.ones_like(args[0]),), False, False, (), allow_unreachable=True, accumulate_grad=True)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Upload(torch.autograd.Function):
    """From the CPU to the GPU."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        _refuse_double(values)
        return AppleTensor(values.detach())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].cpu()


class _Download(torch.autograd.Function):
    """From the GPU to the CPU."""

    @staticmethod
    def forward(context: Any, values: AppleTensor) -> Tensor:
        return values.inner.detach().clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        _refuse_double(gradients[0])
        return AppleTensor(gradients[0])


def _upload(values: Tensor) -> Tensor:
    return _Upload.apply(values) if values.requires_grad else _Upload.forward(None, values)


def _download(values: AppleTensor) -> Tensor:
    return _Download.apply(values) if values.requires_grad else _Download.forward(None, values)


def _moved(values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``values.to(...)``: the number type is changed where the values were, as torch does it."""
    device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    if dtype is not None:
        values = values.type(dtype)
    if layout is not None:
        values = values.contiguous(memory_format=layout)
    here = isinstance(values, AppleTensor)
    if device is None or (device.type == "mps") == here:
        return values
    return _download(values) if here else _upload(values)


class _Uploads(TorchFunctionMode):
    """Moves to the GPU, which torch refuses before any dispatch where it was built without Metal."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.to and not any(isinstance(arg, Tensor) for arg in args[1:]):
            return _moved(*args, **kwargs)
        if function is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == "mps":
            return _upload(torch.tensor(*args, **{**kwargs, "device": "cpu"}))
        return function(*args, **kwargs)


class _Apple(TorchDispatchMode):
    """Sees what makes a tensor on ``mps`` from none that is there."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = function.overloadpacket.__name__
    there = any(isinstance(leaf, AppleTensor) for leaf in tree_leaves((args, kwargs)))
    asked = kwargs.get("device")
    goes = torch.device(asked).type == "mps" if asked is not None else there
    if name == "copy_":
        goes = isinstance(args[0], AppleTensor)
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
    made = function(*plain_args, **plain_kwargs)
    if goes:
        for leaf in tree_leaves(made):
            _refuse_double(leaf)
    if made is None:
        return None
    if function._schema.is_mutable and name.endswith("_"):
        return args[0]
    return tree_map(lambda leaf: AppleTensor(leaf) if isinstance(leaf, Tensor) else leaf, made) if goes else made


def _refuse_double(leaf: Any) -> None:
    if isinstance(leaf, Tensor) and leaf.dtype == torch.float64:
        raise TypeError(_DOUBLE)


def _plain(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, AppleTensor) else leaf


@contextmanager
def apple_gpu() -> Iterator[None]:
    """Where ``mps`` can be used."""
    with _Uploads(), _Apple():
        yield
