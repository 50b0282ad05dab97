"""Base of all settings objects, and settings in JSON files: strict names, errors in one sentence.  No torch here."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from kaf.runtime import json_files
from kaf.runtime.errors import SettingsError

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all settings: immutable, strict about names, with suggestions for misspelt ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def verb(cls) -> str:
        """The command that takes these settings."""
        return cls.__name__.removesuffix("Settings").lower()

    @model_validator(mode="before")
    @classmethod
    def _suggest(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key).lower(), cls.model_fields, n=1, cutoff=0.5)
                    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown setting '{key}'; {hint}")
                if json_files.holds_nul(values[key]):
                    raise ValueError(f"'{key}' contains a NUL character, which no path or name can have")
        return values


def _values_of_labels(names: dict[int, str]) -> dict[int, str]:
    wrong = [value for value in names if not 1 <= value <= 255]
    if wrong:
        raise ValueError(f"{wrong[0]} is not a valid label value; labels are 1 to 255, and 0 is the background")
    return names


LabelNames = Annotated[dict[int, str], AfterValidator(_values_of_labels)]
"""Voxel value (1 to 255) -> name."""


def problems_of(error: ValidationError) -> str:
    """pydantic's report in one line: "setting: what is wrong; ..."."""
    problems = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        words = item["msg"].removeprefix("Value error, ")
        if item["type"] == "string_unicode":
            words = "is not valid UTF-8"
        problems.append(f"{where}: {words}" if where else words)
    return "; ".join(problems)


def build(cls: type[S], values: dict[str, Any], source: object = "settings") -> S:
    """``cls(**values)`` with pydantic's report turned into one :class:`SettingsError` paragraph."""
    try:
        return cls(**values)
    except ValidationError as error:
        raise SettingsError(source, problems_of(error),
                            f"See `kaf {cls.verb()} --help` for every setting and its range.") from error
    except UnicodeEncodeError as error:  # from inside pydantic
        raise SettingsError(source, "is not valid UTF-8",
                            "Save it as UTF-8.") from error


def load_values(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file; :class:`SettingsError` says what is wrong with it."""
    values = json_files.read_given(path, SettingsError)
    if not isinstance(values, dict):
        raise SettingsError(path, "is not a JSON object", 'Write {"name": value, ...}.')
    return values


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """The values of ``over`` over those of ``base``; nested settings are merged, too."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Settings):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            value = merged(result[key], value)
        result[key] = value
    return result
