"""Methods from their settings: the classes of those that a run combines, what they need, and their heads."""

from __future__ import annotations

from kaf.data.needs import Needs
from kaf.methods.base import Method
from kaf.runtime.errors import SettingsError
from kaf.settings.methods import registry
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings


def method_class(name: str) -> type[Method]:
    """The class of a registered method.

    Raises:
        SettingsError: the package of the method cannot be used.
    """
    method = registry().methods[name]
    try:
        found = method.implementation()
        if not (isinstance(found, type) and issubclass(found, Method)):
            raise TypeError("METHOD is not a subclass of kaf.methods.base.Method")
    except Exception as error:  # whatever another package raises
        raise SettingsError(f"method {name}", f"{method.package} cannot be used ({type(error).__name__}: {error})",
                            "Update or uninstall that package, or choose another method.") from error
    return found


def needs_of(settings: PretrainSettings) -> dict[str, Needs]:
    """What each method of a run needs of the data."""
    return {name: method_class(name).needs(settings.of(name)) for name in settings.weights}


def make_methods(settings: PretrainSettings, network: NetworkSettings) -> dict[str, Method]:
    """The methods of a run with the heads that ``network`` needs; initial weights are random.

    Raises:
        SettingsError: a method does not go with the network.
    """
    made: dict[str, Method] = {}
    for name in settings.weights:
        try:
            made[name] = method_class(name)(settings.of(name), network)
        except ValueError as error:
            raise SettingsError(f"method {name}", str(error), "Choose another method, or another network.") from error
    return made


def check_dimensions(settings: PretrainSettings, network: NetworkSettings) -> None:
    """Raises:
        SettingsError: a method cannot train a network of so many dimensions.
    """
    count = network.dimensions
    others = sorted(name for name in settings.weights if count not in method_class(name).dimensions)
    if others:
        fit = " or ".join(f"--method {name}" for name in registry().methods if _goes_with(name, count))
        what = "slices" if count == 3 else "volumes"
        raise SettingsError("network.dimensions", f"is {count}, and method {' and '.join(others)} learns from {what}",
                            f"Use {fit}, or leave network.dimensions out." if fit else "Leave network.dimensions out.")


def _goes_with(name: str, dimensions: int) -> bool:
    try:
        return dimensions in method_class(name).dimensions
    except SettingsError:
        return False
