"""Settings from a command line: every field a flag, a JSON file below them; pydantic-settings does the work."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as CommandLineError

from kaf.errors import SettingsError
from kaf.settings import Settings, load_values, problems_of

C = TypeVar("C", bound="Command")


class Command(BaseSettings):
    """Base of the commands: flags in kebab case, no environment variables.

    A command inherits its verb's settings and adds what only a command line has: inputs and outputs.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", cli_kebab_case=True, cli_implicit_flags=True, cli_hide_none_type=True,
        cli_avoid_json=True, cli_exit_on_error=False, nested_model_default_partial_update=True, case_sensitive=True)

    settings: str = Field("", description="a JSON file with any of these settings; flags go before it")

    @classmethod
    def settings_customise_sources(cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
                                   **_: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    def only(self, kind: type[Settings]) -> Any:
        """The settings object inside this command."""
        names = set(kind.model_fields)
        return kind(**{name: getattr(self, name) for name in names if name in self.model_fields_set})


def parse(command: type[C], arguments: Sequence[str], name: str) -> C:
    """The command from its flags over the JSON file of ``--settings``; SettingsError for wrong usage."""
    arguments = list(arguments)
    given: dict[str, Any] = {}
    if "--settings" in arguments:
        at = arguments.index("--settings")
        if at + 1 == len(arguments):
            raise SettingsError("--settings", "needs the name of a JSON file", f"See `kaf {name} --help`.")
        given = load_values(Path(arguments[at + 1]))
        del arguments[at:at + 2]
    config = command.model_config
    config["cli_prog_name"] = f"kaf {name}"
    try:
        return CliApp.run(command, cli_args=arguments, cli_cmd_method_name="run_nothing", **given)
    except ValidationError as error:
        raise SettingsError(f"kaf {name}", problems_of(error), f"See `kaf {name} --help`.") from error
    except CommandLineError as error:
        words = re.sub(r"^error parsing CLI: ", "", str(error))
        raise SettingsError(f"kaf {name}", words + _nearest(command, words), f"See `kaf {name} --help`.") from error


def _nearest(command: type[Command], words: str) -> str:
    """"; did you mean --x?" for the first unknown flag in argparse's words."""
    unknown = re.search(r"unrecognized arguments:.*?(--[\w.-]+)", words)
    if unknown is None:
        return ""
    flags = ["--" + name.replace("_", "-") for name in command.model_fields]
    near = difflib.get_close_matches(unknown.group(1), flags, n=1)
    return f"; did you mean {near[0]}?" if near else ""
