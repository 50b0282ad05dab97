"""The cases of a folder, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kaf.data import names
from kaf.data.case import Case
from kaf.data.description import Description
from kaf.data.pairing import count, some
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.runtime.message_codes import TEST_SCANS, UNLABELLED


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder, by name; ``layout`` and ``problems`` are words for the user.

    ``cases`` are those to learn from.  ``test`` are those in folders for testing (imagesTs, testing, ...), which no
    training, validation or pretraining may see.  ``label_names``: name of each value that KAF uses, where one is known;
    ``description``: what dataset.json says.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    unlabelled_problem: str = ""
    test: tuple[Case, ...] = ()
    label_names: dict[int, str] = field(default_factory=dict)
    description: Description = field(default_factory=Description)

    def warnings(self) -> tuple[Message, ...]:
        """The problems, and that some scans have no label map, as messages of a run."""
        found = [Message(problem, "warning") for problem in self.problems]
        if self.unlabelled_problem:
            found.append(Message(self.unlabelled_problem, "warning", UNLABELLED,
                                 {"cases": [case.name for case in self.unlabelled]}))
        if self.test:
            found.append(Message(f"{count(self.test, 'test scan')} (in {self.test_folders}), not used for training, "
                                 f"validation or pretraining: {some(case.name for case in self.test)}.", "info",
                                 TEST_SCANS, {"cases": [case.name for case in self.test]}))
        return tuple(found)

    @property
    def every(self) -> tuple[Case, ...]:
        """The cases to learn from and those for testing."""
        return (*self.cases, *self.test)

    def refuse_test_only(self) -> None:
        """:class:`InputError` where every scan with labels lies in a folder for testing."""
        if not self.labelled and any(case.label is not None for case in self.test):
            raise InputError(self.root, f"has label maps of test scans only (in {self.test_folders}), which are never "
                             "learned from", "Add labelled scans outside that folder, or give that folder itself.")

    @property
    def test_folders(self) -> str:
        """"imagesTs": the folders below the root that make their scans test scans, or their places."""
        found = {next((part for part in relative if names.split_of(part) == "test"), "")
                 for case in self.test for relative in [case.image.relative_to(self.root).parts]}
        return " and ".join(sorted(found))

    @property
    def labelled(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.label is not None)

    @property
    def unlabelled(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.label is None)

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))
