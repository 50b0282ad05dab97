"""The four parts of the campaign: what each tries, how often, in words for the page and in tries for the runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from campaigns.bad_commands import command_tries
from campaigns.bad_folders import folder_tries
from campaigns.bad_lines import line_tries
from campaigns.bad_models import model_tries
from campaigns.bad_places import place_tries
from campaigns.bad_runs import run_tries
from campaigns.bad_scans import scan_tries
from campaigns.bit_flips import flip_tries
from campaigns.geometries import geometry_tries
from campaigns.kills_of_commands import command_kills
from campaigns.kills_of_processes import process_kills
from campaigns.kills_of_runs import training_kills
from campaigns.material import Material
from campaigns.verdicts import Try

Source = Callable[[Material], Iterable[Try]]


@dataclass(frozen=True)
class Part:
    """``least``: how many tries the issue asks for; ``about``: what is tried, for a reader of the page."""

    name: str
    least: int
    about: str
    sources: tuple[Source, ...]

    def tries(self, material: Material) -> Iterator[Try]:
        for source in self.sources:
            yield from source(material)


PARTS = {part.name: part for part in (
    Part("kills", 300,
         "SIGKILL to a command: half at a random moment of the time it takes (half of these towards its end, where it "
         "writes), half just before a random one of its file operations. Then every file a person sees must be whole "
         "and of one run, and the next command must end as if there had been no kill: trainings with the same weights "
         "bit for bit, segmentations with the same labels, tables with the same numbers.",
         (command_kills, training_kills, process_kills)),
    Part("geometries", 300,
         "Scans written byte by byte in every orientation, permutation, flip, obliqueness and anisotropy, as NIfTI, "
         "NRRD, MetaImage and classic or enhanced DICOM. The model gives each pixel the label of its own grey value, "
         "so that the right label of every voxel is known: all must be there, at their places in the patient. Shear, "
         "missing slices and two phases must be refused.",
         (lambda material: geometry_tries(),)),
    Part("bad input", 500,
         "Damaged, hostile and absurd files, cards, settings, command lines, folders, run folders and requests. Each "
         "must be refused by one paragraph that names the file or setting, the reason and a remedy, with nothing "
         "changed and nothing left behind; or, where it only looks bad, be taken and give what it should. No "
         "traceback, no signal, less than 1.5 GB of memory, less than 45 s.",
         (scan_tries, model_tries, command_tries, folder_tries, place_tries, run_tries,
          line_tries)),
    Part("bit flips", 500,
         "One bit anywhere in a file, with the time stamps as they were. It must be noticed, or the result must be "
         "what it would have been. What no checksum covers (an uncompressed scan; the header of an NRRD or a "
         "MetaImage) nobody can notice: there the result must be that of the file as it now is, on the grid that "
         "ITK, and so Slicer, reads from it.",
         (flip_tries,)))}

NOT_TRIED = (
    "Windows and macOS: all of it is Linux, with /proc, signals and forked processes.",
    "GPUs, networks of several computers, several processes of torchrun, SLURM.",
    "A computer that is switched off: SIGKILL leaves the page cache of the system as it is, so that what was never "
    "synced is not lost.",
    "Full disks, disks that report errors, network file systems without locks (full disks are in "
    "`Testing/backend/cli/test_bad_input.py`).",
    "The panels inside Slicer.",
    "Scans and models of real size: scans here have up to 64 voxels a side (one axis up to 300), networks a "
    "width of 4.",
    "More than one flipped bit; bits flipped in memory.",
)
"""What the page says was left out."""
