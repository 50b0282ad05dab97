"""What can stand in Annotated[type, ...]: defaults, validators and hints for widgets."""

import typing
from dataclasses import dataclass


class Default:
    """The value of a parameter that was never set; `generator` is called each time."""

    def __init__(self, value=None, *, generator=None):
        self._value = value
        self._generator = generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


@dataclass
class Decimals:
    """Number of decimals of a spin box or slider."""

    value: int


@dataclass
class SingleStep:
    """Step of a spin box or slider."""

    value: float


class Validator:
    """Raises ValueError or TypeError on a value that is not allowed."""

    def validate(self, value) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, vars(self).values()))})"


class NotNone(Validator):
    def validate(self, value) -> None:
        if value is None:
            raise ValueError("Value must not be None")


@dataclass(repr=False, eq=False)
class IsInstance(Validator):
    classtype: type | tuple

    def validate(self, value) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'")


@dataclass(repr=False, eq=False)
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass(repr=False, eq=False)
class Minimum(Validator):
    minimum: float

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass(repr=False, eq=False)
class Maximum(Validator):
    maximum: float

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass(repr=False, eq=False)
class Choice(Validator):
    choices: list

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass(repr=False, eq=False)
class Exclude(Validator):
    excludedValues: list

    def validate(self, value) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value is {value}, but must not be one of {self.excludedValues}")


@dataclass(repr=False, eq=False)
class RangeBounds(Validator):
    minimum: float
    maximum: float

    def validate(self, value) -> None:
        if not (self.minimum <= value.minimum and value.maximum <= self.maximum):
            raise ValueError(f"Range must be within [{self.minimum}, {self.maximum}]")


def split(hint) -> tuple[object, list]:
    """A type hint as (plain type, annotations)."""
    if typing.get_origin(hint) is typing.Annotated:
        plain, *annotations = typing.get_args(hint)
        return plain, annotations
    return hint, []


def plain(hint):
    """A type hint without its annotations."""
    return split(hint)[0]


def first(hint, kind: type):
    """The first annotation of that kind, or None."""
    return next((a for a in split(hint)[1] if isinstance(a, kind)), None)


def validators(annotations: list) -> list[Validator]:
    """The validators among annotations; a bare class counts as its instance."""
    made = [a() if isinstance(a, type) and issubclass(a, Validator) else a for a in annotations]
    return [a for a in made if isinstance(a, Validator)]
