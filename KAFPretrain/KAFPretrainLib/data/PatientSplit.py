"""Who trains, who validates, who is tested: drawn by patient, or taken from a file; shown, saved, and used by runs."""

from kaf.data.splits import Split, check_no_leak, holdout
from kaf.runtime.errors import InputError


def drawSplit(patients, labelledPatients, validationShare, testShare, seed):
    """A split of all patients. Shares are of the labelled ones, since the others can be neither validated nor tested;
    who has no label trains.

    Args:
        validationShare, testShare: 0..1, of the labelled patients.

    Raises:
        InputError: nobody with labels would be left to train on.
    """
    rest, test = holdout(labelledPatients, testShare, seed) if testShare else (sorted(labelledPatients), [])
    share = validationShare / (1 - testShare)
    if share >= 1 and rest:
        raise InputError("The split", "leaves nobody to train on", "Lower the shares for validation and test.")
    train, validation = holdout(rest, share, seed) if share and len(rest) > 1 else (rest, [])
    others = sorted(set(patients) - set(labelledPatients))
    return Split(tuple(sorted([*train, *others])), tuple(validation), tuple(test), seed, "drawn by patient")


def checkSplit(split, patients, source="The split"):
    """Whether a split from a file goes with these patients.

    Raises:
        InputError: a patient is in two parts, or nobody of the folder is in it.
    """
    check_no_leak(split, source)
    known = {*split.train, *split.validation, *split.test}
    if not known & set(patients):
        raise InputError(source, "names none of the patients of this folder",
                         "Choose the split that was saved for these scans, or draw a new one.")


def splitSummary(split, patients):
    """Who is where, in a sentence or two."""
    if split is None:
        return "Look into a folder first: the split is drawn from its patients."
    words = [f"Patients: {len(split.train)} for training, {len(split.validation)} for validation, "
             f"{len(split.test)} for the test."]
    left = set(patients) - {*split.train, *split.validation, *split.test}
    if left:
        words.append(f"In no part, and left out: {len(left)}.")
    if split.test:
        words.append("No run sees the patients for the test, pretraining included.")
    return " ".join(words)


def patientTip(split):
    """The names, for a tool tip."""
    if split is None:
        return ""
    return "\n".join(f"{words}: {', '.join(getattr(split, part)) or 'nobody'}" for part, words in
                     (("train", "Train"), ("validation", "Validate"), ("test", "Test")))
