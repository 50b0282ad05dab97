"""Training, validation and test patients: drawn by patient, or loaded from a file; shown, saved, and used by runs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from slicer.i18n import tr as _

from kaf.data.splits import Split, check_no_leak, holdout
from kaf.runtime.errors import InputError

_NOTE = "drawn by patient"  # in the file of a split, which is the same in every language


def drawSplit(patients: Collection[str], labelledPatients: Collection[str], validationShare: float, testShare: float,
              seed: int) -> Split:
    """A split of all patients. Shares are of the labelled ones, since the others can be used neither for validation
    nor for testing: patients without labels are training patients.

    Args:
        validationShare, testShare: 0..1, of the labelled patients.

    Raises:
        InputError: no labelled patient would be left for training.
    """
    rest, test = holdout(labelledPatients, testShare, seed) if testShare else (sorted(labelledPatients), [])
    share = validationShare / (1 - testShare)
    if share >= 1 and rest:
        raise InputError(_("Split"), _("no labelled patient is left for training"),
                         _("Lower the shares for validation and test."))
    train, validation = holdout(rest, share, seed) if share and len(rest) > 1 else (rest, [])
    others = sorted(set(patients) - set(labelledPatients))
    return Split(tuple(sorted([*train, *others])), tuple(validation), tuple(test), seed, _NOTE)


def checkSplit(split: Split, patients: Collection[str], source: str | Path) -> None:
    """Checks that a split from the file ``source`` goes with these patients.

    Raises:
        InputError: a patient is in two parts, or no patient of the folder is in it.
    """
    check_no_leak(split, source)
    known = {*split.train, *split.validation, *split.test}
    if not known & set(patients):
        raise InputError(source, _("contains none of the patients of this folder"),
                         _("Choose the split that was saved for these scans, or draw a new one."))


def splitSummary(split: Split | None, patients: Collection[str]) -> str:
    """The sizes of the parts."""
    if split is None:
        return _("The split is drawn from the patients of the folder: scan it first.")
    lines = [_("Training patients: {train}. Validation patients: {validation}. Test patients: {test}.").format(
        train=len(split.train), validation=len(split.validation), test=len(split.test))]
    left = set(patients) - {*split.train, *split.validation, *split.test}
    if left:
        lines.append(_("Patients missing from the split file, left out of every run: {count}.").format(
            count=len(left)))
    if split.test:
        lines.append(_("Test patients are held out from every run, including pretraining."))
    return " ".join(lines)


def patientTip(split: Split | None) -> str:
    """The patients of each part, for a tool tip."""
    if split is None:
        return ""
    parts = ((_("Training: {patients}"), split.train), (_("Validation: {patients}"), split.validation),
             (_("Test: {patients}"), split.test))
    return "\n".join(text.format(patients=", ".join(patients) or _("none")) for text, patients in parts)
