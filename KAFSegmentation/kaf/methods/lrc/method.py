"""LRC: pixels of a region have similar features in two views of a slice (MICCAI 2023, arXiv 2304.03406).

The paper's exact loss is not public; this is our reading of it (regions by Felzenszwalb's superpixels, sampled
pixels, contrast between regions of one slice).  Regions may be labels instead: the supervised variant.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from kaf.data.needs import Needs
from kaf.data.views import View, hash_of
from kaf.methods.base import LossOutput, Method, MethodInput, decoder_width, unit
from kaf.methods.contrast import supervised_contrast
from kaf.methods.lrc.info import INFO
from kaf.methods.lrc.settings import LrcSettings
from kaf.methods.sheet import Sheet
from kaf.network.batch_norm import at_least_float as fp32
from kaf.network.kafunet import Depth
from kaf.runtime import ranks
from kaf.settings.base import Settings
from kaf.settings.network import NetworkSettings

_REGIONS = 2 ** 16  # superpixels are uint16
_SIMILAR = 0.25  # of the standard deviation of intensities


def draw_pixels(ids: Tensor, keys: Tensor, count: int) -> Tensor:
    """Indices of at most ``count`` pixels of every id >= 0 in (n,), those with the smallest random ``keys`` (n,)."""
    pixels = (ids >= 0).nonzero().squeeze(1)
    order = pixels[keys[pixels].argsort(stable=True)]
    order = order[ids[order].argsort(stable=True)]
    ordered = ids[order]
    position = torch.arange(len(order), device=ids.device)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    start = torch.where(first, position, 0).cummax(0).values
    return order[position - start < count]


def region_means(values: Tensor, ids: Tensor, slots: int) -> Tensor:
    """(n, D) and ids (n,) in 0..slots-1 -> (slots, D) means; 0 for slots without any."""
    total = values.new_zeros(slots, values.shape[1]).index_add(0, ids, values)
    count = values.new_zeros(slots).index_add(0, ids, values.new_ones(len(ids)))
    return total / count.clamp(min=1)[:, None]


def region_contrast(first: Tensor, second: Tensor, slices: Tensor, ignored: Tensor, temperature: float) -> Tensor:
    """(K,) InfoNCE of regions: the same row of the other view is the positive, other rows of the same slice are
    negatives but for those ``ignored`` (K, K) bool; both ways."""
    a, b = unit(first), unit(second)
    with torch.autocast(a.device.type, enabled=False):
        logits = a @ b.T / temperature
    itself = torch.eye(len(a), dtype=torch.bool, device=a.device)
    counted = (slices[:, None] == slices[None]) & ~ignored | itself
    logits = logits.masked_fill(~counted, -torch.inf)
    own = logits.diagonal()
    return ((logits.logsumexp(1) - own) + (logits.logsumexp(0) - own)) / 2


class Lrc(Method):
    """Contrast between regions; added to a global method it gives the paper's pretraining.  The decoder learns too.

    With ``regions = labels`` the regions of all slices are contrasted, and all of one label are alike.
    Terms: the loss, and "regions", those per slice that both views show.
    """

    views: ClassVar[tuple[str, ...]] = ("anchor", "again")
    depth: ClassVar[Depth] = "decoder"
    trains: ClassVar[tuple[str, ...]] = INFO.trains

    def __init__(self, settings: LrcSettings, network: NetworkSettings):
        super().__init__(settings, network)
        self.settings = settings
        self.head = nn.Sequential(nn.Conv2d(decoder_width(network, settings.level), settings.hidden, 1), nn.ReLU(),
                                  nn.Conv2d(settings.hidden, settings.width, 1))

    @classmethod
    def needs(cls, settings: Settings) -> Needs:
        assert isinstance(settings, LrcSettings)
        found = (settings.scale, settings.sigma, settings.smallest) if settings.regions == "superpixels" else None
        return Needs(cls.views, cls.aligned, regions=settings.regions, superpixels=found)

    def forward(self, given: MethodInput, teacher: Method | None = None) -> LossOutput:
        s, stride = self.settings, 2 ** self.settings.level
        views = [given.batch.views[name] for name in self.views]
        ids = [_ids(view, stride) for view in views]
        slots = torch.unique(torch.cat([i[i >= 0] for i in ids]))
        ids = [_compact(i, slots) for i in ids]
        present = torch.stack([torch.bincount(i[i >= 0], minlength=len(slots)) > 0 for i in ids]).all(0)
        means = [self._means(given, name, i, len(slots), number)
                 for number, (name, i) in enumerate(zip(self.views, ids, strict=True))]
        first, second = (m[present] for m in means)
        if s.regions == "labels":
            label = (slots[present] % _REGIONS).repeat(2)
            label = ranks.all_gather_rows(label[:, None].float()).squeeze(1)
            loss = supervised_contrast(ranks.all_gather_rows(torch.cat([first, second])),
                                       label[:, None] == label[None], s.temperature)
        else:
            ignored = _look_alike(views[0], ids[0], len(slots), stride)[present][:, present]
            each = region_contrast(first, second, slots[present] // _REGIONS, ignored, s.temperature)
            loss = ranks.mean(each.sum(), each.new_tensor(len(each)))
        return LossOutput(loss, {"region contrast": loss.detach(), "regions": present.sum() / len(views[0].image)})

    def picture(self, given: MethodInput) -> Sheet:
        from kaf.methods.lrc.picture import regions

        return regions(given)

    def _means(self, given: MethodInput, name: str, ids: Tensor, slots: int, number: int) -> Tensor:
        """(slots, width) mean embedding of pixels drawn from every region of one view."""
        features = given.features[name].decoder[-1 - self.settings.level]
        height, width = given.batch.views[name].image.shape[2:]
        stride = 2 ** self.settings.level
        embedded = fp32(self.head(features))[:, :, :-(-height // stride), :-(-width // stride)]
        pixels = embedded.permute(0, 2, 3, 1).flatten(0, 2)
        per_item = len(ids) // len(given.batch.seeds)
        keys = [torch.rand(per_item, generator=torch.Generator().manual_seed(hash_of(int(seed), number)))
                for seed in given.batch.seeds]
        drawn = draw_pixels(ids, torch.cat(keys).to(ids.device), self.settings.samples)
        return region_means(pixels[drawn], ids[drawn], slots)


def _ids(view: View, stride: int) -> Tensor:
    """(B * h * w,) one number per slice and region on the cells of a map, -1 for none."""
    assert view.regions is not None
    regions = _on_cells(torch.where(view.valid, view.regions, -1), stride)
    item = torch.arange(len(regions), device=regions.device)[:, None, None] * _REGIONS
    return torch.where(regions >= 0, regions + item, -1).flatten()


def _on_cells(pixels: Tensor, stride: int) -> Tensor:
    """(B, H, W) -> (B, ceil(H / stride), ceil(W / stride)): the pixel in the middle of every cell of a map."""
    rows, columns = ((torch.arange(0, n, stride, device=pixels.device) + stride // 2).clamp(max=n - 1)
                     for n in pixels.shape[1:])
    return pixels[:, rows][:, :, columns]


def _compact(ids: Tensor, slots: Tensor) -> Tensor:
    """Position of every id in the sorted ``slots``; -1 stays."""
    return torch.where(ids >= 0, torch.searchsorted(slots, ids.clamp(min=0)), -1)


def _look_alike(view: View, ids: Tensor, slots: int, stride: int) -> Tensor:
    """(slots, slots) bool: regions that touch and are about equally bright, probably one organ cut in two."""
    image = _on_cells(view.image[:, view.image.shape[1] // 2], stride)
    inside = ids >= 0
    bright = region_means(image.flatten()[inside][:, None], ids[inside], slots).squeeze(1)
    touching = torch.zeros(slots, slots, dtype=torch.bool, device=ids.device)
    grid = ids.view(image.shape)
    for a, b in ((grid[:, 1:], grid[:, :-1]), (grid[:, :, 1:], grid[:, :, :-1])):
        pair = (a >= 0) & (b >= 0) & (a != b)
        touching[a[pair], b[pair]] = True
    return (touching | touching.T) & ((bright[:, None] - bright[None]).abs() < _SIMILAR)


METHOD = Lrc
