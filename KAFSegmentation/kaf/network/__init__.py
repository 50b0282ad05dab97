"""Networks for slices: the published KAF U-Net and MONAI's networks behind the same call."""

from kaf.network.build import build_network, count_parameters
from kaf.network.kafunet import Features, KAFUNet

__all__ = ["Features", "KAFUNet", "build_network", "count_parameters"]
