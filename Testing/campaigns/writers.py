"""NIfTI, NRRD and MetaImage files written byte by byte from their definitions, so that no library that KAF reads with
decides what is right.

All take voxels (k, j, i) and an affine from voxel index (i, j, k, 1) to RAS mm.
"""

from __future__ import annotations

import bz2
import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NIFTI_KINDS = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512,
                "uint32": 768}
_NRRD_KINDS = {"uint8": "unsigned char", "int8": "signed char", "int16": "short", "uint16": "unsigned short",
               "int32": "int", "uint32": "unsigned int", "float32": "float", "float64": "double"}
_META_KINDS = {"uint8": "MET_UCHAR", "int8": "MET_CHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT",
               "int32": "MET_INT", "uint32": "MET_UINT", "float32": "MET_FLOAT", "float64": "MET_DOUBLE"}


@dataclass(frozen=True)
class Nifti:
    """How a NIfTI file is written: which of its two transforms it has, its version, byte order and packing.

    ``shift``: the sform lies this far (R, A, S mm) from the qform.
    """

    sform: int = 1
    qform: int = 1
    version: int = 1
    big: bool = False
    pair: bool = False
    scaled: bool = False
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray, how: Nifti = Nifti()) -> Path:
    """A .nii, .nii.gz or, as a pair, .hdr with .img beside it."""
    order = ">" if how.big else "<"
    content = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()
    header = (_nifti1 if how.version == 1 else _nifti2)(voxels, affine, how, order)
    if how.pair:
        path.with_suffix(".img").write_bytes(content)
        path.write_bytes(header)
    else:
        whole = header + content
        path.write_bytes(gzip.compress(whole, 1, mtime=0) if path.suffix == ".gz" else whole)
    return path


def _nifti1(voxels: np.ndarray, affine: np.ndarray, how: Nifti, order: str) -> bytes:
    dims, pixdim, quaternion, rows = _nifti_numbers(voxels, affine, how)
    header = bytearray(348)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, *dims)
    struct.pack_into(f"{order}hh", header, 70, _NIFTI_KINDS[voxels.dtype.name], voxels.dtype.itemsize * 8)
    struct.pack_into(f"{order}8f", header, 76, *pixdim)
    struct.pack_into(f"{order}3f", header, 108, 0.0 if how.pair else 352.0, *((2.0, -100.0) if how.scaled else (0, 0)))
    header[123] = 2  # millimetres
    struct.pack_into(f"{order}2h", header, 252, how.qform, how.sform)
    struct.pack_into(f"{order}6f", header, 256, *quaternion)
    struct.pack_into(f"{order}12f", header, 280, *rows)
    header[344:348] = b"ni1\0" if how.pair else b"n+1\0"
    return bytes(header) + (b"" if how.pair else b"\0" * 4)


def _nifti2(voxels: np.ndarray, affine: np.ndarray, how: Nifti, order: str) -> bytes:
    dims, pixdim, quaternion, rows = _nifti_numbers(voxels, affine, how)
    header = bytearray(540)
    struct.pack_into(f"{order}i", header, 0, 540)
    header[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into(f"{order}hh", header, 12, _NIFTI_KINDS[voxels.dtype.name], voxels.dtype.itemsize * 8)
    struct.pack_into(f"{order}8q", header, 16, *dims)
    struct.pack_into(f"{order}8d", header, 104, *pixdim)
    struct.pack_into(f"{order}q2d", header, 168, 544, *((2.0, -100.0) if how.scaled else (0, 0)))
    struct.pack_into(f"{order}2i", header, 344, how.qform, how.sform)
    struct.pack_into(f"{order}6d", header, 352, *quaternion)
    struct.pack_into(f"{order}12d", header, 400, *rows)
    struct.pack_into(f"{order}i", header, 500, 2)
    return bytes(header) + b"\0" * 4


def _nifti_numbers(voxels: np.ndarray, affine: np.ndarray, how: Nifti
                   ) -> tuple[list[int], list[float], list[float], list[float]]:
    """dim, pixdim, the quaternion with its offset, and the rows of the sform."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    rotation = affine[:3, :3] / spacing
    side = -1.0 if np.linalg.det(rotation) < 0 else 1.0
    rotation[:, 2] *= side
    dims = [voxels.ndim, *reversed(voxels.shape), *[1] * (7 - voxels.ndim)]
    pixdim = [side, *spacing[:voxels.ndim], *[1.0] * (4 - min(3, voxels.ndim) + 3)][:8]
    shifted = affine.copy()
    shifted[:3, 3] += how.shift
    return dims, pixdim, [*_quaternion(rotation), *affine[:3, 3]], shifted[:3].ravel().tolist()


def _quaternion(rotation: np.ndarray) -> list[float]:
    """b, c, d of a proper rotation, with a not negative (NIfTI's own convention)."""
    symmetric = np.empty((4, 4))
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric[0] = xx + yy + zz, zy - yz, xz - zx, yx - xy
    symmetric[1] = zy - yz, xx - yy - zz, xy + yx, xz + zx
    symmetric[2] = xz - zx, xy + yx, yy - xx - zz, yz + zy
    symmetric[3] = yx - xy, xz + zx, yz + zy, zz - xx - yy
    vector = np.linalg.eigh(symmetric / 3)[1][:, -1]
    vector *= -1 if vector[0] < 0 else 1
    return [float(number) for number in vector[1:]]


@dataclass(frozen=True)
class Nrrd:
    """How an NRRD file is written.  ``space`` is one of RAS, LPS, LAS (with directions)."""

    space: str = "LPS"
    encoding: str = "gzip"
    big: bool = False
    detached: bool = False


_SPACES = {"RAS": (np.diag([1.0, 1, 1]), "right-anterior-superior"), "LPS": (LPS[:3, :3], "left-posterior-superior"),
           "LAS": (np.diag([-1.0, 1, 1]), "left-anterior-superior")}


def write_nrrd(path: Path, voxels: np.ndarray, affine: np.ndarray, how: Nrrd = Nrrd()) -> Path:
    """A .nrrd, or a .nhdr with its data beside it."""
    turn, name = _SPACES[how.space]
    vectors, origin = (turn @ affine[:3, :3]).T, turn @ affine[:3, 3]
    lines = ["NRRD0004", "# written by hand", f"type: {_NRRD_KINDS[voxels.dtype.name]}", "dimension: 3",
             f"space: {name}", f"sizes: {' '.join(map(str, reversed(voxels.shape)))}",
             f"space directions: {' '.join(_vector(vector) for vector in vectors)}", "kinds: domain domain domain",
             f"endian: {'big' if how.big else 'little'}", f"encoding: {how.encoding}",
             f"space origin: {_vector(origin)}"]
    plain = voxels.astype(voxels.dtype.newbyteorder(">" if how.big else "<")).tobytes()
    content = {"raw": lambda: plain, "gzip": lambda: gzip.compress(plain, 1, mtime=0),
               "bzip2": lambda: bz2.compress(plain), "hex": lambda: plain.hex().encode(),
               "ascii": lambda: " ".join(str(number) for number in voxels.ravel().tolist()).encode()}[how.encoding]()
    if how.detached:
        data = path.with_suffix(".raw.gz" if how.encoding == "gzip" else ".raw")
        data.write_bytes(content)
        path.write_text("\n".join([*lines, f"data file: {data.name}"]) + "\n")
    else:
        path.write_bytes("\n".join(lines).encode() + b"\n\n" + content)
    return path


def _vector(numbers: np.ndarray) -> str:
    return f"({','.join(repr(float(number)) for number in numbers)})"


@dataclass(frozen=True)
class Meta:
    """How a MetaImage file is written."""

    compressed: bool = True
    big: bool = False
    detached: bool = False


def write_meta(path: Path, voxels: np.ndarray, affine: np.ndarray, how: Meta = Meta()) -> Path:
    """A .mha, or a .mhd with its data beside it."""
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    content = voxels.astype(voxels.dtype.newbyteorder(">" if how.big else "<")).tobytes()
    if how.compressed:
        content = zlib.compress(content, 1)
    data = path.with_suffix(".zraw" if how.compressed else ".raw")
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", f"BinaryDataByteOrderMSB = {how.big}",
             f"CompressedData = {how.compressed}", *[f"CompressedDataSize = {len(content)}"] * how.compressed,
             f"TransformMatrix = {_words((lps[:3, :3] / spacing).T.ravel())}", f"Offset = {_words(lps[:3, 3])}",
             "CenterOfRotation = 0 0 0", "AnatomicalOrientation = RAI", f"ElementSpacing = {_words(spacing)}",
             f"DimSize = {' '.join(map(str, reversed(voxels.shape)))}",
             f"ElementType = {_META_KINDS[voxels.dtype.name]}",
             f"ElementDataFile = {data.name if how.detached else 'LOCAL'}"]
    head = "\n".join(lines).encode() + b"\n"
    if how.detached:
        data.write_bytes(content)
        path.write_bytes(head)
    else:
        path.write_bytes(head + content)
    return path


def _words(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)
