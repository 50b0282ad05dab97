"""Settings from a command line: every field a flag, a JSON file below them; pydantic-settings does the work."""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as CommandLineError

from kaf.runtime.errors import SettingsError
from kaf.settings.base import Settings, load_values, problems_of

C = TypeVar("C", bound="Command")
# Python's names for kinds of values, as a person reads them in the help.
_KINDS = {"str": "TEXT", "int": "N", "float": "NUMBER", "tuple[int,...]": "N,N,...", "tuple[str,...]": "NAME,NAME,...",
          "tuple[int,int,int]": "N,N,N", "tuple[tuple[int,int,int],...]": "[[N,N,N],...]",
          "tuple[tuple[float,float,float,int],...]": "[[R,A,S,N],...]",
          "dict[int,str]": "N=NAME,...", "dict[int,int]": "N=N,...", "dict[str,JSON]": "JSON", "dict[str,Any]": "JSON",
          "tuple[float,float,float]": "R,A,S",
          "tuple[float,float,float,float,float,float]": "R,A,S,R,A,S", "tuple[bool,bool]": "true,true",
          "tuple[bool,bool,bool,bool]": "true,true,true,true"}
_NUMBERS = re.compile(r"[-+]?[\d.][-+\d.eE]*(,[-+]?[\d.][-+\d.eE]*)*,?")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Words instead of Python's types, and no default where it says nothing."""

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any,
                  prefix: str | None = None) -> None:
        actions = list(actions)
        for action in actions:
            action.metavar = _KINDS.get(str(action.metavar), action.metavar)
            action.help = re.sub(r"\s*\(default: (None|False|\(\)|\{\})?\)$", "", action.help or "")
        super().add_usage(usage, actions, groups, prefix)

    def add_text(self, text: str | None) -> None:
        super().add_text(text and re.sub(r"^default: None \(undefined\)\s*", "", text))


class Command(BaseSettings):
    """Base of the commands: flags in kebab case, no environment variables.

    A command inherits its verb's settings and adds what only a command line has: inputs and outputs.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", cli_kebab_case=True, cli_implicit_flags=True, cli_hide_none_type=True,
        cli_avoid_json=True, cli_exit_on_error=False, nested_model_default_partial_update=True, case_sensitive=True,
        allow_inf_nan=False)

    settings: str = Field("", description="JSON file with any of these settings; flags override the file")

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.__doc__ = inspect.cleandoc(cls.__doc__ or "")  # it is the head of the help

    @classmethod
    def beneath(cls, arguments: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
        """What lies beneath the flags: the values of the JSON file, and whatever a command puts beneath those."""
        return given

    @classmethod
    def settings_customise_sources(cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
                                   *_: Any, **__: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    def only(self, kind: type[Settings]) -> Any:
        """The settings object inside this command."""
        names = set(kind.model_fields)
        return kind(**{name: getattr(self, name) for name in names if name in self.model_fields_set})


def parse(command: type[C], arguments: Sequence[str], name: str) -> C:
    """The command from its flags over the JSON file of ``--settings``; SettingsError for wrong usage."""
    see = f"See `kaf {name} --help`."
    if any("\0" in argument for argument in arguments):
        raise SettingsError(f"kaf {name}", "an argument contains a NUL character", see)
    arguments, source = _take_settings(_joined(command, arguments), see)
    given: dict[str, Any] = {}
    if source is not None:
        given = load_values(Path(source))
        for key in given:
            if key == "settings":
                raise SettingsError(source, "names another file of settings, which is not read",
                                    "Take 'settings' out of it, and put all settings into one file.")
            if key not in command.model_fields:
                raise SettingsError(source, f"unknown setting '{key}'{_nearest(key, command.model_fields)}", see)
    given = command.beneath(arguments, given)
    config = command.model_config
    config["cli_prog_name"] = f"kaf {name}"
    try:
        reader: CliSettingsSource[Any] = CliSettingsSource(command, formatter_class=_Help)
        return CliApp.run(command, cli_args=arguments, cli_settings_source=reader, cli_cmd_method_name="run_nothing",
                          **given)
    except ValidationError as error:
        raise SettingsError(f"kaf {name}", _problems(error), see) from error
    except UnicodeEncodeError as error:  # from inside pydantic
        raise SettingsError(f"kaf {name}", "an argument is not valid UTF-8", see
                            ) from error
    except CommandLineError as error:
        words = re.sub(r"^error parsing CLI: ", "", str(error))
        unknown = re.search(r"unrecognized arguments:.*?(--[\w.-]+)", words)
        hint = _nearest(unknown.group(1), dict(_flags(command))) if unknown else ""
        raise SettingsError(f"kaf {name}", words + hint, see) from error


def _take_settings(arguments: list[str], see: str) -> tuple[list[str], str | None]:
    """The other arguments, and the file after ``--settings``."""
    rest, source, left = [], None, iter(arguments)
    for argument in left:
        flag, equals, value = argument.partition("=")
        if flag != "--settings":
            rest.append(argument)
            continue
        source = value if equals else next(left, None)
        if not source:
            raise SettingsError("--settings", "needs the name of a JSON file", see)
    return rest, source


def _joined(command: type[Command], arguments: Sequence[str]) -> list[str]:
    """Lists in the one form that every pydantic-settings reads: ``--cases a,b`` as ``--cases=["a", "b"]``.

    Where a fixed count of numbers is wanted, ``--point -10 20 5`` and ``--point -10,20,5`` are taken too: a
    minus is no flag there.
    """
    counts = {flag: _length(kind) for flag, kind in _flags(command)}
    rest, lists, left = [], dict[str, list[str]](), list(arguments)
    while left:
        argument = left.pop(0)
        flag, equals, value = argument.partition("=")
        count = counts.get(flag)
        if count is None or value.startswith("["):
            rest.append(argument)
            continue
        parts = _parts(value) if equals else []
        if not equals and left and (_NUMBERS.fullmatch(left[0]) or left[0][:1] not in ("-", "[")):
            parts = _parts(left.pop(0))
        while parts and len(parts) < count and left and _NUMBERS.fullmatch(left[0]):
            parts += _parts(left.pop(0))
        if parts:
            lists.setdefault(flag, []).extend(parts)
        else:  # nothing, or JSON, follows
            rest.append(argument)
    return rest + [f"{flag}={json.dumps(parts)}" for flag, parts in lists.items()]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _length(annotation: Any) -> int | None:
    """How many numbers a flag of this type takes, 0 for a list of any length; None for what is no list."""
    for kind in (annotation, *get_args(annotation)):
        if get_origin(kind) is tuple:
            return 0 if ... in get_args(kind) or float not in get_args(kind) else len(get_args(kind))
    return None


def _flags(model: type[BaseModel], prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """All flags of a command with their types, those of nested settings too."""
    for name, field in model.model_fields.items():
        flag = prefix + name.replace("_", "-")
        yield flag, field.annotation
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _flags(kind, f"{flag}.")


def _nearest(wrong: str, known: Iterable[str]) -> str:
    """"; did you mean x?" where something known begins like it or is near."""
    known = list(known)
    near = [name for name in known if name.startswith(wrong)] or difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _problems(error: ValidationError) -> str:
    missing = [str(item["loc"][0]) for item in error.errors() if item["type"] == "missing" and len(item["loc"]) == 1]
    if missing:
        return "needs " + ", ".join(f"--{name.replace('_', '-')}" for name in missing)
    return problems_of(error)
