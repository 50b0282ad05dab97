"""Did memory run out, did a GPU fail?  One answer for every library and system, whose words differ.  No torch."""

from __future__ import annotations

import errno
import re

# torch, OpenCV and ITK raise errors of no kind of their own when memory runs out: their text is all there is.
_WORDS = (
    "out of memory",  # CUDA, ROCm, Intel's XPU, MPS
    "can't allocate memory",  # torch on Linux and macOS (DefaultCPUAllocator)
    "cannot allocate memory",  # the C library, for example when a file is mapped
    "not enough memory",  # torch on Windows (DefaultCPUAllocator), and Windows itself
    "paging file is too small",  # Windows
    "insufficient memory",  # OpenCV
    "failed to allocate memory",  # ITK
    "bad_alloc",  # C++ on Linux and macOS
    "bad allocation",  # C++ on Windows
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED and its like of cuDNN and cuSOLVER
    "invalid buffer size",  # Metal, for one buffer that is larger than it allows
)
_WINDOWS = (8, 14, 1455)  # not enough memory, out of memory, paging file too small
_FAILURE = re.compile(r"cuda error|hip error|device-side assert|mps backend", re.IGNORECASE)
_GPU = re.compile(r"\b(cuda|hip|mps|xpu|invalid buffer size)\b|cudnn|cublas|cusolver", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, that of the computer or of a GPU."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or getattr(error, "winerror", None) in _WINDOWS
    # Words count in errors of compiled libraries only: a ValueError may quote a text that says anything.
    if not isinstance(error, RuntimeError) and type(error).__module__ != "cv2":
        return False
    said = str(error).lower()
    return any(words in said for words in _WORDS)


def is_about_a_gpu(error: BaseException) -> bool:
    """Whether the text of an error names a GPU or one of its libraries."""
    return _GPU.search(str(error)) is not None


def is_gpu_failure(error: BaseException) -> bool:
    """Whether a library says that a GPU stopped working or is not there any more; one that is full still works."""
    return isinstance(error, RuntimeError) and not is_out_of_memory(error) and _FAILURE.search(str(error)) is not None
