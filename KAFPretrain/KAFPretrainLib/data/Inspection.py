"""What `kaf data scan` found in a folder, for the panel: cases and words."""

from collections import Counter
from dataclasses import dataclass, field

from KAFSegmentationLib.widgets.PlainText import rich

_SAID = 4  # problems of single cases that are told above the table's
PARTS = {"train": "train", "validation": "validate", "test": "test"}


@dataclass(frozen=True)
class FoundCase:
    """One scan. ``size`` and ``spacing`` are words, empty where it cannot be read; ``values`` counts voxels by label
    value and is None where there is no label map that can be read; ``usable``: it can be read, and its label map, if it
    has one, lies on it."""

    name: str
    patient: str
    image: str
    label: str | None
    size: str = ""
    spacing: str = ""
    modality: str = ""
    values: dict | None = None
    problems: tuple = ()
    usable: bool = True


@dataclass(frozen=True)
class Inspection:
    """A folder: its cases, what was understood of it, and what is wrong with more than one case."""

    root: str
    layout: str = ""
    cases: tuple = ()
    problems: tuple = ()
    labelNames: dict = field(default_factory=dict)

    @classmethod
    def of(cls, values):
        """From the JSON of the command."""
        cases = tuple(_case(case) for case in values["cases"])
        names = {str(value): name for value, name in values.get("label_names", {}).items()}
        return cls(values["root"], values["layout"], cases, tuple(values["problems"]), names)

    @property
    def patients(self):
        return sorted({case.patient for case in self.cases})

    @property
    def labelled(self):
        """Cases that can be trained on and tested with."""
        return [case for case in self.cases if case.label and case.usable]

    @property
    def unlabelled(self):
        return [case for case in self.cases if not case.label and case.usable]

    @property
    def unusable(self):
        """Cases that no run can use, or not with their labels."""
        return [case for case in self.cases if not case.usable]

    @property
    def labelledPatients(self):
        return sorted({case.patient for case in self.labelled})

    @property
    def modality(self):
        """MR, CT, mixed, or nothing where it could not be told."""
        kinds = {case.modality for case in self.cases if case.modality not in ("", "unknown")}
        return "mixed" if len(kinds) > 1 else next(iter(kinds), "")

    @property
    def values(self):
        """Label values that occur, sorted."""
        return sorted({int(value) for case in self.cases for value in case.values or {}})

    def words(self):
        """What was understood, as rich text."""
        kinds = Counter(case.modality for case in self.cases if case.modality not in ("", "unknown"))
        kind = f" ({', '.join(f'{number} {rich(name)}' for name, number in kinds.most_common())})" if kinds else ""
        lines = [f"<b>{count(len(self.cases), 'scan')} of {count(len(self.patients), 'patient')}</b>{kind}; "
                 f"{len(self.labelled)} with labels.", f"Understood as: {rich(self.layout)}."]
        if self.values:
            named = [f"{value} {self.labelNames.get(str(value), '')}".strip() for value in self.values]
            lines.append(f"Labels: {rich(', '.join(named))}.")
        return "<br>".join(lines)

    def warning(self):
        """What concerns more than one case, as rich text; empty where all is well."""
        lines = [rich(problem) + "." for problem in self.problems]
        own = [f"{case.name}: {problem}" for case in self.cases for problem in case.problems]
        lines += [rich(problem) + "." for problem in own[:_SAID]]
        if len(own) > _SAID:
            lines.append(f"{len(own) - _SAID} more: see the table.")
        if self.unusable:
            lines.append("No run uses what cannot be read, or labels that do not fit their scan: "
                         f"{count(len(self.unusable), 'case')}. Mend them, and look into the folder again.")
        if not lines:
            return ""
        return "To look at:<ul style='margin:0 0 0 -24px'>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"

    def rows(self, split=None):
        """Cells of the table of cases; ``split`` is a Split or None."""
        part = {patient: words for name, words in PARTS.items() for patient in getattr(split, name, ())}
        return [(case.name, case.patient, part.get(case.patient, ""), self._labels(case),
                 ("; ".join(case.problems), "\n".join(case.problems), "error") if case.problems else "",
                 case.size, case.spacing) for case in self.cases]

    def _labels(self, case):
        if case.label is None:
            return ""
        if case.values is None:
            return ("unreadable", case.label, "error")
        names = [f"{value} {self.labelNames.get(value, '')}".strip() for value in case.values]
        return (", ".join(case.values) or "empty", "\n".join([*names, case.label]), "" if names else "warning")


def _case(values):
    shape, spacing = values["shape"], values["spacing"]
    return FoundCase(
        values["name"], values["patient"], values["image"], values["label"],
        " × ".join(str(number) for number in reversed(shape)), " × ".join(f"{number:.3g}" for number in spacing),
        values["modality"], values["values"], tuple(values["problems"]), values["usable"])


def count(number, one, many=""):
    """"1 scan", "3 scans"."""
    return f"{number} {one if number == 1 else many or one + 's'}"
