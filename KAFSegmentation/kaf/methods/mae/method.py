"""MAE: masked patches of a slice are reconstructed from the rest (He et al., CVPR 2022, with a U-Net)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from kaf.data.views import ViewBatch, hide_squares
from kaf.methods.base import LossOutput, Method, MethodInput, decoder_width
from kaf.methods.mae.info import INFO
from kaf.methods.mae.settings import MaeSettings
from kaf.methods.sheet import Sheet
from kaf.network.batch_norm import at_least_float as fp32
from kaf.network.kafunet import Depth
from kaf.runtime import ranks
from kaf.settings.network import NetworkSettings


class Mae(Method):
    """Mean over slices of the mean squared error (of standardised intensities) of the masked pixels inside the slice; a
    slice without any counts 0."""

    views: ClassVar[tuple[str, ...]] = ("masked",)
    depth: ClassVar[Depth] = "decoder"
    trains: ClassVar[tuple[str, ...]] = INFO.trains
    splits: ClassVar[bool] = True

    def __init__(self, settings: MaeSettings, network: NetworkSettings):
        super().__init__(settings, network)
        self.settings = settings
        self.head = nn.Conv2d(decoder_width(network, 0), network.in_channels, 1)

    def add_views(self, batch: ViewBatch) -> None:
        batch.views["masked"] = hide_squares(batch.views["anchor"], self.settings.hidden, self.settings.block,
                                             batch.seeds)

    def forward(self, given: MethodInput, teacher: Method | None = None) -> LossOutput:
        target, masked = given.batch.views["anchor"], given.batch.views["masked"]
        assert masked.hidden is not None
        height, width = target.image.shape[2:]
        made = fp32(self.head(given.features["masked"].decoder[-1]))[:, :, :height, :width]
        asked = masked.hidden & target.valid
        error = ((made - target.image).square().mean(1) * asked).sum((1, 2)) / asked.sum((1, 2)).clamp(min=1)
        loss = ranks.mean(error.sum(), error.new_tensor(len(error)))
        return LossOutput(loss, {"reconstruction": loss.detach()})

    def picture(self, given: MethodInput) -> Sheet:
        from kaf.methods.mae.picture import reconstruction

        return reconstruction(self, given)


METHOD = Mae
