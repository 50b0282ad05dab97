"""What a header says a file holds, and whether the disk holds that: by size before reading, then to the last checksum.

ITK makes room for whatever a header claims, ignores the checksums of compressed voxels and, where they cannot be
unpacked at all, hands out what lay in memory.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from kaf.imaging.itk import COPY_AGAIN, times
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular

Packing = Literal["raw", "gzip", "zlib", "text", "hex"]

_CHUNK = 1 << 20
_DEFLATE = 1032  # no stream of zlib or gzip grows by more than this (zlib's technical notes)
_OTHERS = 10_000  # a plain picture packed by JPEG 2000 may be so much smaller
_LONGEST_WORD = 1000  # characters of a number
_SUSPECT_BYTES, _SUSPECT_RATIO = 64 << 20, 30  # checked before, not while, memory is taken for so much


@dataclass(frozen=True)
class Stored:
    """Voxels as a header describes them.

    Attributes:
        path: the file that the user gave, named in errors.
        dims: numbers of voxels, the fastest axis first.
        bits: of a voxel, all its components together.
        files: where the voxels are, in parts of the same size.
        packing: how every one of them is packed.  "text": numbers as text, "hex": two letters a byte.
        offset: bytes of each file before the packed voxels; -1: they are the end of the file.
        length: packed bytes, where the header says so.
        skip: unpacked bytes before the voxels; -1: they are the end of what is unpacked.
        components: numbers per voxel.
        padded: whether a few bytes may follow the voxels.
        floats: the dtype of the voxels where these are real floating-point numbers and are to be looked at.
    """

    path: Path
    dims: tuple[int, ...]
    bits: int
    files: tuple[Path, ...]
    packing: Packing = "raw"
    offset: int = 0
    length: int | None = None
    skip: int = 0
    components: int = 1
    floats: np.dtype | None = None
    padded: bool = True

    @property
    def bytes_needed(self) -> int:
        """Of the voxels in one of the files, unpacked."""
        return math.ceil(math.prod(self.dims) * self.bits / 8 / len(self.files))

    def refuse_impossible(self) -> None:
        """Compares the header with the sizes on the disk.

        Raises:
            InputError: a file is missing or not regular, or can at best hold less than the header promises, or
                what is not packed holds far more.
        """
        if not self.dims or min(self.dims) < 1:
            raise InputError(self.path, f"is empty: its size is {times(self.dims)}", "Export the volume again.")
        sizes = [self._packed_size(file) for file in self.files]
        most = min(self._most(size) for size in sizes)
        if most >= self.bytes_needed:
            if self.packing == "raw" and self.offset >= 0:
                for size in sizes:
                    self._refuse_surplus(size)
            return
        if self.packing == "raw":
            raise self._cut_short(min(sizes))
        raise InputError(
            self.path, f"is damaged or cut short: its header promises {times(self.dims)} voxels "
            f"({_size(self.bytes_needed * len(self.files))}), which cannot be in {_size(sum(sizes))}", COPY_AGAIN)

    @property
    def is_suspect(self) -> bool:
        """Whether it is looked through before it is read: so much more is promised than lies on the disk, or its
        reader makes voxels of what is damaged (MetaImage's) or ends this process (NRRD's of words)."""
        if self.packing in ("zlib", "text"):
            return True
        packed = sum(self._packed_size(file) for file in self.files)
        whole = self.bytes_needed * len(self.files)
        return self.packing == "gzip" and whole > max(_SUSPECT_BYTES, _SUSPECT_RATIO * packed)

    def check_complete(self) -> int:
        """Unpacks the files to their end and checksum, and counts the voxels that are not finite (``floats`` only).

        Raises:
            InputError: damaged, or fewer or far more bytes than the header promises, or no finite voxel.
        """
        if self.packing == "text":
            for file in self.files:
                self._check_words(file)
            return 0
        if self.packing == "hex" or (self.packing == "raw" and self.floats is None):
            return 0  # nothing but the size can be checked, and has been
        not_finite = sum(self._check_file(file) for file in self.files)
        if not_finite and not_finite == math.prod(self.dims):
            raise InputError(self.path, "has no finite voxel (all are NaN or infinite)", "Export the volume again.")
        return not_finite

    def _check_file(self, file: Path) -> int:
        needed, skip, held, not_finite, odd = self.bytes_needed, max(0, self.skip), 0, 0, b""
        try:
            with file.open("rb") as content:
                for chunk in _unpacked(content, self):
                    if self.floats is not None:
                        numbers = odd + chunk[max(0, skip - held) : max(0, skip + needed - held)]
                        whole = len(numbers) // self.floats.itemsize * self.floats.itemsize
                        values, odd = np.frombuffer(numbers[:whole], self.floats), numbers[whole:]
                        not_finite += values.size - int(np.count_nonzero(np.isfinite(values)))
                    held += len(chunk)
        except (OSError, EOFError, zlib.error) as error:
            raise damaged(self.path, error) from error
        if held - skip < needed:
            raise self._cut_short(held)
        if self.skip >= 0:
            self._refuse_surplus(held)
        return not_finite

    def _check_words(self, file: Path) -> None:
        """As many numbers as voxels, none longer than NRRD's reader has room for."""
        size = self.bits // 8
        left = self.bytes_needed // size
        try:
            with file.open("rb") as content:
                content.seek(self.offset + max(0, self.skip))
                for words in _words(content):
                    left -= _count_numbers(words[:left])
                    if left == 0:
                        return
        except (OSError, ValueError) as error:
            raise damaged(self.path, error) from error
        raise self._cut_short(self.bytes_needed - left * size)

    def _packed_size(self, file: Path) -> int:
        try:
            size = check_regular(file).st_size - max(0, self.offset)
        except InputError as error:
            if file == self.path:
                raise
            name = file.name.encode("utf-8", "backslashreplace").decode("utf-8")
            raise InputError(self.path, f"keeps its voxels in {name}, which {error.reason}",
                             "Copy all files of the scan into one folder.") from error
        if self.length is not None and self.length > size:
            raise self._cut_short(size, self.length)
        return size if self.length is None else self.length

    def _most(self, packed: int) -> int:
        """How many bytes of voxels so many bytes of a file hold at best."""
        if self.packing in ("gzip", "zlib"):
            return packed * _DEFLATE - max(0, self.skip)
        if self.packing == "hex":
            return packed // 2
        if self.packing == "text":  # a digit and a blank each
            return (packed + 1) // 2 * max(1, self.bits // 8 // self.components)
        return packed - max(0, self.skip)

    def _cut_short(self, held: int, needed: int | None = None) -> InputError:
        needed = max(0, self.skip) + self.bytes_needed if needed is None else needed
        return InputError(self.path, f"is cut short: it holds {max(0, held)} of {needed} bytes", COPY_AGAIN)

    def _refuse_surplus(self, held: int) -> None:
        """Padding may follow the voxels; as much as another layer of voxels means that the header is wrong."""
        surplus = held - max(0, self.skip) - self.bytes_needed
        if surplus > 0 and (surplus >= self.bytes_needed // max(self.dims) or not self.padded):
            raise InputError(
                self.path, f"contradicts itself: its header promises {times(self.dims)} voxels, and "
                f"{surplus} bytes more are there", "Its header may be damaged: copy or export it again.")


def allowed_claim(size: int) -> int:
    """How many bytes of voxels a file of this size and of any format may promise."""
    return max(_SUSPECT_BYTES, _OTHERS * size)


def refuse_claim(subject: Path, dims: Sequence[int], voxel_bytes: int, size: int) -> None:
    """:class:`InputError` where a header promises more voxels than could ever be in a file of ``size`` bytes."""
    promised = math.prod(dims) * voxel_bytes
    if promised > allowed_claim(size):
        raise InputError(subject, f"is damaged or cut short: its header promises {times(dims)} voxels "
                         f"({_size(promised)}), which cannot be in {_size(size)}", COPY_AGAIN)


def damaged(path: Path, error: Exception) -> InputError:
    return InputError(path, f"is damaged or cut short ({error})", COPY_AGAIN)


def _unpacked(content: BinaryIO, stored: Stored) -> Iterator[bytes]:
    """What one file holds, in pieces of at most a chunk."""
    content.seek(max(0, stored.offset))
    if stored.packing == "raw":
        while chunk := content.read(_CHUNK):
            yield chunk
    else:
        yield from _inflated(content, stored.length, several=stored.packing == "gzip")


def _words(content: BinaryIO) -> Iterator[list[bytes]]:
    """What blanks keep apart, in pieces of about a chunk."""
    rest = b""
    while chunk := content.read(_CHUNK):
        words = (rest + chunk).split()
        rest = b"" if chunk[-1:].isspace() else words.pop()[:_LONGEST_WORD + 1]
        yield words
    yield [rest] if rest else []


def _count_numbers(words: list[bytes]) -> int:
    """How many words there are; ValueError where one is no number that NRRD's reader has room for."""
    try:
        if max(map(len, words), default=0) <= _LONGEST_WORD:
            return len(list(map(float, words)))
    except ValueError:
        pass
    raise ValueError("not all of its voxels are numbers")


def _inflated(content: BinaryIO, length: int | None, several: bool) -> Iterator[bytes]:
    """A stream of zlib or gzip of so many packed bytes, to its checksum, and the ones that follow it.

    Faster than the module gzip, which reads 8 kB at a time.  Behind gzip's streams there may be zeros; what follows
    one of zlib is left alone.
    """
    left = math.inf if length is None else length
    rest = b""
    while True:
        unpack = zlib.decompressobj(31 if several else 47)
        while not unpack.eof:
            packed = unpack.unconsumed_tail or rest or content.read(int(min(_CHUNK, left)))
            if not (unpack.unconsumed_tail or rest):
                left -= len(packed)
            rest = b""
            if not packed:
                raise EOFError("its compressed voxels end too early")
            if chunk := unpack.decompress(packed, _CHUNK):
                yield chunk
        rest = unpack.unused_data
        if several:
            while not (rest := rest.lstrip(b"\0")) and (rest := content.read(_CHUNK)):
                pass
        if not several or not rest:
            return


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, "TB"
    return f"{count:.3g} {unit}"
