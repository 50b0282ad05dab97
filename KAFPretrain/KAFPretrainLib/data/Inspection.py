"""What `kaf data scan` found in a folder: its cases, and what the panel reports about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from KAFSegmentationLib.widgets.PlainText import rich

if TYPE_CHECKING:
    from kaf.data.splits import Split
    from KAFSegmentationLib.widgets.Tables import Cell

_SHOWN = 4  # problems of single cases that are listed above the table


@dataclass(frozen=True)
class FoundCase:
    """One scan.

    Attributes:
        size, spacing: as text, "256 × 256 × 10"; empty where the scan cannot be read.
        values: number of voxels by label value; None where there is no label map that can be read.
        usable: the scan can be read, and its label map, if it has one, lies on its voxels.
        drawing: how its labels are read where that is not a label map of the values that are used: as masks, with other
            numbers, with a value to ignore (`kaf.data.case.Case.drawing`).
    """

    name: str
    patient: str
    image: str
    label: str | None
    size: str = ""
    spacing: str = ""
    modality: str = ""
    values: dict[str, int] | None = None
    problems: tuple[str, ...] = ()
    usable: bool = True
    drawing: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """A folder: its cases, its layout, and the problems of more than one case."""

    root: str
    layout: str = ""
    cases: tuple[FoundCase, ...] = ()
    problems: tuple[str, ...] = ()
    labelNames: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Inspection:
        """From the JSON of the command."""
        cases = tuple(_case(case) for case in values["cases"])
        names = {str(value): name for value, name in values.get("label_names", {}).items()}
        return cls(values["root"], values["layout"], cases, tuple(values["problems"]), names)

    @property
    def patients(self) -> list[str]:
        """All patients, sorted."""
        return sorted({case.patient for case in self.cases})

    @property
    def labelled(self) -> list[FoundCase]:
        """Cases that can be used for training and testing."""
        return [case for case in self.cases if case.label and case.usable]

    @property
    def unlabelled(self) -> list[FoundCase]:
        """Cases without a label map."""
        return [case for case in self.cases if not case.label and case.usable]

    @property
    def unusable(self) -> list[FoundCase]:
        """Cases that no run can use, or not with their labels."""
        return [case for case in self.cases if not case.usable]

    @property
    def labelledPatients(self) -> list[str]:
        """Patients with a usable label map, sorted."""
        return sorted({case.patient for case in self.labelled})

    @property
    def modality(self) -> str:
        """MR, CT, mixed, or nothing where it is not known."""
        kinds = {case.modality for case in self.cases if case.modality not in ("", "unknown")}
        return "mixed" if len(kinds) > 1 else next(iter(kinds), "")

    @property
    def values(self) -> list[int]:
        """Label values that occur, sorted."""
        return sorted({int(value) for case in self.cases for value in case.values or {}})

    def summary(self) -> str:
        """What was found, as rich text."""
        counts = _("Scans: {scans}. Patients: {patients}. Labelled scans: {labelled}.").format(
            scans=len(self.cases), patients=len(self.patients), labelled=len(self.labelled))
        lines = [f"<b>{rich(counts)}</b>"]
        kinds = Counter(case.modality for case in self.cases if case.modality not in ("", "unknown"))
        if kinds:
            names = ", ".join(f"{name} ({number})" for name, number in kinds.most_common())
            lines.append(rich(_("Modality: {modality}.").format(modality=names)))
        lines.append(rich(_("Folder layout: {layout}.").format(layout=self.layout)))
        if self.values:
            named = [f"{value} {self.labelNames.get(str(value), '')}".strip() for value in self.values]
            lines.append(rich(_("Labels: {labels}.").format(labels=", ".join(named))))
        return "<br>".join(lines)

    def warning(self) -> str:
        """The problems, as rich text; empty where there is none."""
        own = [f"{case.name}: {problem}" for case in self.cases for problem in case.problems]
        lines = [f"{problem}." for problem in [*self.problems, *own[:_SHOWN]]]
        if len(own) > _SHOWN:
            lines.append(_("More problems in the table: {count}.").format(count=len(own) - _SHOWN))
        if self.unusable:
            lines.append(_("Unusable cases, left out of every run because they cannot be read or their labels do not "
                           "match the scan: {count}. Fix them, then scan the folder again.").format(
                               count=len(self.unusable)))
        if not lines:
            return ""
        items = "".join(f"<li>{rich(line)}</li>" for line in lines)
        return f"{rich(_('Remarks:'))}<ul style='margin:0 0 0 -24px'>{items}</ul>"

    @property
    def inOrder(self) -> list[FoundCase]:
        """The cases as the table lists them: those with problems first."""
        return sorted(self.cases, key=lambda case: (case.usable, not case.problems))

    def table(self, split: Split | None = None) -> tuple[list[str], list[list[Cell]]]:
        """Titles and rows of the table of cases; a column that would say nothing is left out."""
        parts = {"train": _("training"), "validation": _("validation"), "test": _("test")}
        part = {patient: title for name, title in parts.items() for patient in getattr(split, name, ())}
        columns = [(_("Case"), [case.name for case in self.inOrder])]
        if any(case.problems for case in self.cases):
            columns.append((_("Problem"), [
                ("; ".join(case.problems), "\n".join(case.problems), "error") if case.problems else ""
                for case in self.inOrder]))
        if any(case.patient != case.name for case in self.cases):
            columns.append((_("Patient"), [case.patient for case in self.inOrder]))
        columns += [(_("Labels"), [self._labels(case) for case in self.inOrder]),
                    (_("Part"), [part.get(case.patient, "") for case in self.inOrder]),
                    (_("Size"), [case.size for case in self.inOrder]),
                    (_("Spacing (mm)"), [case.spacing for case in self.inOrder])]
        return [title for title, _cells in columns], [list(row) for row in zip(*(cells for _title, cells in columns),
                                                                              strict=True)]

    def _labels(self, case):
        if case.label is None:
            return ""
        if case.values is None:
            return (_("unreadable"), case.label, "error")
        names = [f"{value} {self.labelNames.get(value, '')}".strip() for value in case.values]
        return (", ".join(case.values) or _("empty"), "\n".join([*names, case.label]), "" if names else "warning")


def _case(values):
    shape, spacing = values["shape"], values["spacing"]
    return FoundCase(
        values["name"], values["patient"], values["image"], values["label"],
        " × ".join(str(number) for number in reversed(shape)), " × ".join(f"{number:.3g}" for number in spacing),
        values["modality"], values["values"], tuple(values["problems"]), values["usable"],
        values.get("drawing", {}))
