"""The command line of a job: a run file, then a flag for every setting.

    python -m ray_jobs.train RUN.yaml --training.epochs 2 --students '[{"kind": "rra_bert"}]'

pydantic-settings, which vLLM depends on anyway, derives flags, types and help from the settings classes, so they cannot
drift apart. Values that are lists or objects are written as JSON. `null` means null, as in a run file.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import yaml
from pydantic import BaseModel, create_model
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict

from ranking.errors import InputError
from ranking.json_text import parse_json
from ranking.run_file import settings_classes
from ranking.settings import Settings

_WIDTH = 110
_FLAG_COLUMN = 36


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line.

    Attributes:
        run_file: Path of the run file.
        overrides: A (dotted key, value) pair for each setting given as a flag.
        options: Parsed arguments, including options that only this job has, such as `--estimate`.
        print_config: Whether to print the resolved run file instead of running the job.
    """

    run_file: Path
    overrides: list[tuple[str, Any]]
    options: argparse.Namespace
    print_config: bool


AddOptions = Callable[[argparse.ArgumentParser], None]


def parse(
    settings: type[Settings],
    arguments: Sequence[str],
    prog: str,
    description: str,
    reads: Sequence[str] | None = None,
    add_options: AddOptions | None = None,
) -> CommandLine:
    """Parse a job's command line. Prints the help and exits with 0 for `--help`.

    Args:
        settings: The class of the run file.
        arguments: The command line without the program.
        prog: The command that runs the job, for example `python -m ray_jobs.train`.
        description: Text above the list of flags.
        reads: Top-level settings to list in the help; None lists all. Settings that are not listed are
            accepted too.
        add_options: Function that adds options that only this job has to the parser.

    Raises:
        InputError: For an unknown flag (the message suggests the closest known one), a missing value, or invalid JSON.
    """
    wants_help = any(argument in ("-h", "--help") for argument in arguments)
    shown = None if reads is None or not wants_help else ("run", "storage", *reads)
    parser = _parser(prog, description, _objects_in_lists(settings, shown))
    parser.add_argument(
        "run_file", metavar="RUN.yaml", type=Path, help="The run file, for example configs/quickstart.yaml."
    )
    parser.add_argument("--print-config", action="store_true", help="Print the resolved run file and exit.")
    if add_options is not None:
        add_options(parser)
    own = parser.options()
    flags = _given(arguments, own)
    values = [_json_or_text(flag, value) for flag, value in flags]
    source: Any = CliSettingsSource(
        _flags(settings, shown),
        root_parser=parser,
        parse_args_method=_Parser.parse_args,
        cli_parse_args=list(arguments),
        cli_parse_none_str="null",
        cli_enforce_required=False,
        cli_hide_none_type=True,
    )
    options = parser.parsed
    nested = source()
    overrides = []
    for (flag, _), value in zip(flags, values, strict=True):
        key = flag.removeprefix("--")
        parsed = _value_at(nested, key)
        overrides.append((key, parsed if isinstance(parsed, list) and isinstance(value, str) else _scalar(value)))
    return CommandLine(options.run_file, overrides, options, options.print_config)


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError with a one-line message instead of printing the usage."""

    parsed: argparse.Namespace

    def options(self) -> set[str]:
        """Return all flags."""
        return {option for action in self._actions for option in action.option_strings}

    def error(self, message: str) -> NoReturn:
        if "run_file" in message or "RUN.yaml" in message:
            raise InputError("a run file is missing, for example configs/quickstart.yaml")
        flag = message.partition(":")[0]
        if "expected one argument" in message:
            raise InputError(f"{flag}: the value is missing, expected {flag.removeprefix('argument ')} VALUE")
        raise InputError(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise InputError(self._unknown(unknown[0].partition("=")[0]))
        return self.parsed

    def _unknown(self, argument: str) -> str:
        if not argument.startswith("--"):
            return f"argument {argument!r}: expected --key value, for example --training.epochs 2"
        known = sorted(option for option in self.options() if option.startswith("--"))
        parents = [option for option in known if argument.startswith(f"{option}.")]
        near = difflib.get_close_matches(argument, known, n=1, cutoff=0.6)
        if near:
            return f"argument {argument}: unknown setting; did you mean {near[0]}?"
        if parents:
            return f"argument {argument}: unknown setting; give {max(parents, key=len)} as JSON, or see --help"
        return f"argument {argument}: unknown setting; --help lists all"


def _parser(prog: str, description: str, epilog: str) -> _Parser:
    formatter = functools.partial(argparse.RawDescriptionHelpFormatter, width=_WIDTH, max_help_position=_FLAG_COLUMN)
    return _Parser(
        prog=prog,
        usage=f"{prog} RUN.yaml [--KEY VALUE ...]",
        description=description,
        epilog=epilog,
        formatter_class=formatter,
        allow_abbrev=False,
    )


def _objects_in_lists(settings: type[Settings], shown: tuple[str, ...] | None) -> str:
    """Describe for the help which fields the objects in lists such as `students` have. These fields have no flags."""
    sections = []
    for name, field in settings.model_fields.items():
        if (shown is None or name in shown) and get_origin(field.annotation) is list:
            sections += [_describe(f"--{name}", kind) for kind in settings_classes(field.annotation)]
        sections += [
            _describe(f"--{name}.{inner}", kind)
            for outer in settings_classes(field.annotation)
            if shown is None or name in shown
            for inner, part in outer.model_fields.items()
            if get_origin(part.annotation) is list
            for kind in settings_classes(part.annotation)
        ]
    return "\n\n".join(sections)


def _describe(flag: str, kind: type[BaseModel]) -> str:
    """Describe the fields of the objects in a list setting: name, description and default of each."""
    tag = kind.model_fields.get("kind")
    named = "" if tag is None or not get_args(tag.annotation) else f" of kind {get_args(tag.annotation)[0]}"
    lines = [f"each object in {flag}{named}:"]
    for name, field in kind.model_fields.items():
        if name == "kind" or settings_classes(field.annotation):
            continue
        default = "required" if field.is_required() else f"default: {field.get_default(call_default_factory=True)}"
        text = textwrap.wrap(f"{field.description or ''} ({default})", _WIDTH - _FLAG_COLUMN)
        lines.append(f"  {name:<{_FLAG_COLUMN - 2}}{text[0]}")
        lines += [" " * _FLAG_COLUMN + line for line in text[1:]]
    return "\n".join(lines)


@functools.cache
def _flags(settings: type[Settings], shown: tuple[str, ...] | None) -> type[BaseSettings]:
    """Create a class of flags from the `shown` top-level fields of a settings class; None takes all fields."""
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in settings.model_fields.items()
        if shown is None or name in shown
    }
    base = types.new_class("Flags", (BaseSettings,), exec_body=lambda body: body.update(model_config=_CONFIG))
    return create_model("Flags", __base__=base, **fields)


_CONFIG = SettingsConfigDict(extra="forbid", protected_namespaces=())


def _given(arguments: Sequence[str], own: set[str]) -> list[tuple[str, str | None]]:
    """List the flags on a command line that are settings, with their values. Skips the job's `own` options."""
    found: list[tuple[str, str | None]] = []
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if not flag.startswith("--") or flag in own:
            continue
        following = arguments[place + 1] if place + 1 < len(arguments) else None
        found.append((flag, value if equals else following))
    return found


def _json_or_text(flag: str, value: str | None) -> Any:
    """Parse a value that is a JSON list or object; return any other value unchanged.

    Raises:
        InputError: If a value that looks like JSON cannot be parsed.
    """
    if value is None or value[:1] not in ("[", "{"):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise InputError(f"argument {flag}: {error}") from None


def _value_at(nested: Any, key: str) -> Any:
    """Return the value of a dotted key in nested mappings; None if the key does not exist."""
    for part in key.split("."):
        nested = nested.get(part) if isinstance(nested, dict) else None
    return nested


def _scalar(value: Any) -> Any:
    """Parse a string as YAML does, so a flag has the same value as the same text in a run file."""
    if not isinstance(value, str):
        return value
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return parsed if parsed is None or isinstance(parsed, (bool, int, float, str)) else value
