"""Test scans under other names: found by their voxels in what networks learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kaf.data.folder import Case
from kaf.data.pairing import some
from kaf.imaging.volume import read_volume
from kaf.runtime.errors import InputError, KafError


def voxel_digest(scan: Path) -> str | None:
    """SHA-256 of a scan's voxels as float32 and of their shape, whatever its file's name, type and header; None where
    it cannot be read."""
    try:
        voxels = np.ascontiguousarray(read_volume(scan).voxels, np.float32)
    except KafError:  # whoever uses it says so
        return None
    return hashlib.sha256(str(voxels.shape).encode() + voxels.tobytes()).hexdigest()


class Recognised:
    """The scans of an experiment by their voxels."""

    def __init__(self, cases: Sequence[Case], pool: Sequence[Case]):
        self._digests: dict[Path, str | None] = {}
        self._cases, self._pool = cases, pool

    def _digest(self, case: Case) -> str | None:
        if case.image not in self._digests:
            self._digests[case.image] = voxel_digest(case.image)
        return self._digests[case.image]

    def _of(self, patients: Iterable[str]) -> dict[str, str]:
        """Digest -> patient, of the labelled scans of these patients."""
        wanted = set(patients)
        found = {self._digest(case): case.patient for case in self._cases if case.patient in wanted}
        return {digest: patient for digest, patient in found.items() if digest is not None}

    def check_sides(self, train: Iterable[str], test: Iterable[str]) -> None:
        """InputError where a scan of a test patient is also that of a training patient."""
        known, training = self._of(test), self._of(train)
        if both := sorted(known.keys() & training.keys(), key=lambda digest: known[digest]):
            first = both[0]
            more = f"; {len(both)} scans in all" if len(both) > 1 else ""
            raise InputError(f"patient {known[first]}", "is tested, but has the same image as patient "
                             f"{training[first]}, who is trained on{more}", "Remove one of the two.")

    def in_pool(self, tested: Iterable[str]) -> Mapping[str, str]:
        """Patient of the pool -> test patient who has the same image."""
        known = self._of(tested)
        return {case.patient: known[digest] for case in self._pool
                if known and (digest := self._digest(case)) in known and digest is not None}


def said(found: Mapping[str, str]) -> str:
    """Which patients of a pool are which test patients, as a message."""
    return some([f"{there} (test patient {tested})" for there, tested in sorted(found.items())])
