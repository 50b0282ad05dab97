"""The plan of a training as text: what is shown before the first step, and by ``kaf data scan``."""

from __future__ import annotations

from kaf.data.plan import Plan
from kaf.settings.network import NetworkSettings


def plan_text(plan: Plan) -> str:
    """A few sentences: plane, pixels, patch, intensities, network."""
    plane = "the acquired plane" if plan.slicing_axis == "largest-spacing" else f"{plan.slicing_axis} slices"
    if plan.network.dimensions == 3:
        assert plan.network.patch is not None
        cut = f"patches of {' x '.join(map(str, plan.network.patch))} voxels"
    else:
        cut = f"patches of {plan.patch} x {plan.patch} pixels"
    return (f"Plan: {plane}, pixels of {plan.spacing:.3g} mm, slices {plan.slice_spacing:.3g} mm apart, {cut}; "
            f"{_intensities(plan)}; {_network(plan.network)}, {plan.network.classes - 1} "
            f"structure{'s' * (plan.network.classes != 2)}.")


def _intensities(plan: Plan) -> str:
    settings = plan.normalisation
    if settings.kind == "window":
        return f"intensities windowed from {settings.low:g} to {settings.high:g}{' HU' * (plan.modality == 'CT')}"
    return f"intensities of each scan normalised ({settings.kind})"


def _network(network: NetworkSettings) -> str:
    if network.dimensions == 3:
        return f"3-D network of width {network.width}"
    if network.kind != "kaf":
        return f"network {network.kind} of width {network.width}"
    if network.fusion == "none":
        return f"U-Net without keypoints of width {network.width}"
    return f"KAF network of width {network.width}"
