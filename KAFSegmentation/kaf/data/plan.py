"""What training decides from the data where the settings leave it open, written down with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from kaf.data.acquisition import usual_plane
from kaf.data.case import Case
from kaf.data.labels import read_case_labels
from kaf.data.plan3d import fit_network
from kaf.data.scan import read_scan
from kaf.data.structures import Structures, intensities, measure, window_of
from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.volume import guess_modality
from kaf.runtime.errors import InputError, KafError, SettingsError
from kaf.runtime.events import Message, OnEvent, Ticker, ignore
from kaf.settings.network import COMPACT, NetworkSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

_LOOK_AT = 12
_PATCH_LIMIT = 192
_LEAST_PATCH = 80  # of a slice that is larger: around small structures, so that the network sees where it is
_AROUND = 4 / 3  # a patch over the extent of all structures together
_PLANES = ("axial", "coronal", "sagittal")
_CT_WINDOW = (-200.0, 300.0)  # HU: soft tissue, and at least what the labelled structures hold
_LEAST_PIXELS = 6.0  # across the smallest structure: pixels are made no coarser than that
_COARSER = 2.0  # and no more than this many times as wide as they were acquired
_NEAR_TIE = 0.95  # the axial plane is taken where it shows nearly as many structures at once as the best one


class PlanSettings(Protocol):
    """What the settings of a training say about its plan; None and "auto" leave it open."""

    @property
    def data(self) -> str:
        """Folder of the scans."""

    @property
    def modality(self) -> Literal["CT", "MR", "any"]: ...

    @property
    def spacing(self) -> float | None:
        """Width of a pixel in mm."""

    @property
    def slicing_axis(self) -> str: ...

    @property
    def slice_context(self) -> int:
        """Neighbouring slices on each side that are channels too."""

    @property
    def patch(self) -> int | None:
        """Rows and columns of a patch."""

    @property
    def normalisation(self) -> NormalisationSettings | None: ...

    @property
    def network(self) -> NetworkSettings | None: ...

    @property
    def keypoints(self) -> KeypointSettings: ...


@dataclass(frozen=True)
class Channel:
    """One of several input channels: its name, the kind of scan, and how its intensities are normalised."""

    name: str
    modality: str
    normalisation: NormalisationSettings

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "modality": self.modality, "normalisation": self.normalisation.model_dump()}


@dataclass(frozen=True)
class Plan:
    """Resolved choices: mm, plane, pixels, label values present, normalisation, network, slices' distance, and the
    median mm that slices cover along their rows and columns; ``channels`` where there are several."""

    spacing: float
    slicing_axis: str
    patch: int
    values: tuple[int, ...]
    modality: str
    normalisation: NormalisationSettings
    network: NetworkSettings
    slice_spacing: float
    field_of_view: tuple[float, float] = (0.0, 0.0)
    channels: tuple[Channel, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        values["normalisation"] = self.normalisation.model_dump()
        values["network"] = self.network.model_dump()
        values["channels"] = [channel.to_dict() for channel in self.channels]
        return values

    @property
    def more_normalisations(self) -> tuple[NormalisationSettings, ...]:
        """Those of the channels after the first."""
        return tuple(channel.normalisation for channel in self.channels[1:])


def compact_network(classes: int, context: int) -> NetworkSettings:
    """The small KAF that a laptop's CPU trains and runs."""
    return NetworkSettings(in_channels=2 * context + 1, classes=classes, **COMPACT)


def make_plan(cases: Sequence[Case], settings: PlanSettings, on_event: OnEvent = ignore) -> Plan:
    """Look at the labels of all cases and the images of some, and choose what the settings leave open."""
    # The cache reads these label maps once more, when it prepares a case: 6 to 10 % of that time (119 ms of 2.1 s
    # for a short-axis heart, 36 ms of 0.35 s for a hippocampus), once per case; handing them over would hold all
    # label maps in memory.
    ticker = Ticker(on_event, "looking at the labelled cases", len(cases))
    values: set[int] = set()
    together = dict.fromkeys(_PLANES, 0.0)
    grids, structures, modalities, samples = [], [], [], []
    sample = {round(i) for i in np.linspace(0, len(cases) - 1, min(_LOOK_AT, len(cases)))}
    for index, case in enumerate(cases):
        assert case.label is not None
        labels = read_case_labels(case)
        values |= set(np.flatnonzero(np.bincount(labels.voxels.reshape(-1), minlength=256)).tolist()) - {0}
        grids.append((labels.voxels.shape, labels.affine))
        structures.append(measure(labels.voxels, labels.affine))
        if index in sample:
            scan = read_scan(case)
            modalities.append(guess_modality(scan))
            samples.append(intensities(scan.voxels, labels.voxels))
            for plane in _PLANES:
                together[plane] += _labels_per_slice(labels.voxels, labels.affine, plane)
        ticker.update(index + 1)
    if not values:
        raise InputError(settings.data, "no label map holds any structure (all voxels are 0)",
                         "Check that these are label maps, with 1, 2, ... for the structures.")
    plan = _resolve(settings, grids, modalities, together, tuple(sorted(values)), structures, samples)
    return with_channels_of(cases, plan, settings)


def with_channels_of(cases: Sequence[Case], plan: Plan, settings: PlanSettings) -> Plan:
    """The plan for scans of several channels, each of which is looked at by itself; as it is for scans of one.

    Raises:
        InputError: the cases differ in their channels.
    """
    names = {tuple(name.casefold() for name in case.channels): case for case in cases}
    if len(names) > 1:
        one, other, *_ = names.values()
        raise InputError(other.image, f"has the channels {', '.join(other.channels) or 'of a single file'}, where "
                         f"{one.name} has {', '.join(one.channels) or 'a single one'}",
                         "Give every case the same channels, or leave it out.")
    if not cases[0].channels:
        return plan
    if settings.keypoints.channel >= len(cases[0].channels):
        raise SettingsError("keypoints.channel", f"is {settings.keypoints.channel}, and there are the channels 0 to "
                            f"{len(cases[0].channels) - 1}", "Choose one of these.")
    sample = [read_scan(cases[index]) for index in sorted({round(i) for i in np.linspace(
        0, len(cases) - 1, min(_LOOK_AT, len(cases)))})]
    channels = []
    for index, name in enumerate(cases[0].channels):
        kinds = {guess_modality(replace(scan, voxels=(scan.voxels, *scan.more)[index])) for scan in sample}
        kind = kinds.pop() if len(kinds) == 1 else "unknown"
        kind = kind if kind in ("CT", "MR") else "any"
        own = NormalisationSettings() if kind != "CT" else NormalisationSettings(
            kind="window", low=_CT_WINDOW[0], high=_CT_WINDOW[1])
        first = index == 0 or settings.normalisation is not None
        channels.append(Channel(name, kind, plan.normalisation if first else own))
    network = plan.network.model_copy(update={"in_channels": plan.network.in_channels * len(channels)})
    return replace(plan, network=network, channels=tuple(channels))


def make_image_plan(cases: Sequence[Case], settings: PlanSettings, on_event: OnEvent = ignore) -> Plan:
    """The plan of pretraining: from the images of some cases; labels are not looked at."""
    sample = sorted({round(i) for i in np.linspace(0, len(cases) - 1, min(_LOOK_AT, len(cases)))})
    ticker = Ticker(on_event, "looking at the scans", len(sample))
    grids, modalities, problems = [], [], []
    for done, index in enumerate(sample):
        try:
            volume = read_scan(cases[index].one_channel)
        except KafError as error:
            problems.append(error)
            continue
        grids.append((volume.voxels.shape, volume.affine))
        modalities.append(guess_modality(volume))
        ticker.update(done + 1)
    if not grids:
        raise problems[0]
    if len(set(modalities)) > 1 and settings.modality == "any":
        on_event(Message(f"The scans are of several kinds ({', '.join(sorted(set(modalities)))}): one network learns "
                         "from all of them. Give --modality, or folders of one kind.", "warning"))
    spacings = [canonical_grid(shape, affine, None, "largest-spacing").spacing[1] for shape, affine in grids]
    if max(spacings) > 2 * min(spacings):
        on_event(Message(f"Pixels are {min(spacings):.2g} to {max(spacings):.2g} mm wide; all are resampled to one "
                         "size.", "warning"))
    # Without labels no plane shows more than another: the first one.
    return _resolve(settings, grids, modalities, dict.fromkeys(_PLANES, 0.0), ())


def _resolve(settings: PlanSettings, grids: Sequence[tuple[tuple[int, int, int], np.ndarray]],
             modalities: Sequence[str], together: dict[str, float], values: tuple[int, ...],
             structures: Sequence[Structures] = (), samples: Sequence[np.ndarray] = ()) -> Plan:
    """The settings where they say something, else what the scans and their ``structures`` say."""
    axis = _slicing_axis(settings, grids, together)
    native = [canonical_grid(shape, affine, None, axis) for shape, affine in grids]
    apart = float(np.median([grid.spacing[0] for grid in native]))
    spacing = settings.spacing or _pixel(native, structures)
    canonical = [canonical_grid(shape, affine, spacing, axis) for shape, affine in grids]
    shapes = [grid.canonical_shape for grid in canonical]
    fitted = _holding([max(shape[1:]) for shape in shapes])
    if structures:
        fitted = min(fitted, max(_LEAST_PATCH, _holding(_extents(canonical, structures))))
    modality = settings.modality
    if modality == "any" and len(set(modalities)) == 1 and modalities[0] in ("CT", "MR"):
        modality = modalities[0]  # type: ignore[assignment]
    low, high = window_of(samples, _CT_WINDOW)
    normalisation = settings.normalisation or (
        NormalisationSettings(kind="window", low=low, high=high) if modality == "CT" else NormalisationSettings())
    classes = max(values, default=1) + 1
    network = settings.network or compact_network(classes, settings.slice_context)
    network = network.model_copy(update={"classes": classes, "in_channels": 2 * settings.slice_context + 1})
    if network.dimensions == 3:
        network = fit_network(network, shapes, (apart, spacing, spacing), settings.patch)
    return Plan(spacing, axis, settings.patch or min(fitted, _PATCH_LIMIT), values, modality,
                normalisation, network, apart, _field_of_view(canonical))


def _field_of_view(grids: Sequence[Grid]) -> tuple[float, float]:
    """Median mm (down, across) of canonical slices."""
    rows, columns = np.median([np.multiply(grid.size, grid.spacing[1:]) for grid in grids], axis=0)
    return float(rows), float(columns)


def _holding(sizes: Sequence[float]) -> int:
    """What holds nine of ten of these sizes, in steps that the network can halve four times."""
    return int(np.ceil(np.percentile(sizes, 90) / 16) * 16)


def _extents(grids: Sequence[Grid], structures: Sequence[Structures]) -> list[float]:
    """Pixels that a patch has to hold in each case: all structures together, and something around them."""
    corners = [grid.points_to_canonical(each.box) for grid, each in zip(grids, structures, strict=True)]
    return [float(_AROUND * np.ptp(ends, axis=0)[1:].max()) for ends in corners]


def _pixel(native: Sequence[Grid], structures: Sequence[Structures]) -> float:
    """The pixel size in mm: as acquired, or coarser where the structures together are larger than the largest patch and
    the smallest one stays wide enough."""
    acquired = float(np.median([max(grid.spacing[1:]) for grid in native]))
    widths: dict[int, list[float]] = {}
    for each in structures:
        for value, width in each.widths.items():
            widths.setdefault(value, []).append(width)
    if not widths:
        return acquired
    wanted = acquired * _holding(_extents(native, structures)) / _PATCH_LIMIT
    smallest = min(float(np.median(each)) for each in widths.values())
    return max(acquired, min(wanted, smallest / _LEAST_PIXELS, _COARSER * acquired))


def _labels_per_slice(labels: np.ndarray, affine: np.ndarray, plane: str) -> float:
    """Mean number of different structures in the slices of a plane that hold any."""
    stack = canonical_grid(labels.shape, affine, None, plane).labels_to_canonical(labels)
    counts = [len(np.unique(s)) - 1 for s in stack if s.any()]
    return float(np.mean(counts)) if counts else 0.0


def _slicing_axis(settings: PlanSettings, grids: Sequence[tuple[tuple[int, ...], np.ndarray]],
                  together: dict[str, float]) -> str:
    """Slices stay as they were acquired; of nearly isotropic scans the plane that shows the most structures at once, so
    that the network sees where one ends and the next begins, and the axial one where it shows nearly as many."""
    if settings.slicing_axis != "auto":
        return settings.slicing_axis
    plane = usual_plane([affine for _, affine in grids])
    if plane is not None:
        return plane
    best = max(together.values())
    return next(plane for plane in _PLANES if together[plane] >= _NEAR_TIE * best)
