"""Options that several commands share, and options made from the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from artgan.cli import completing
from artgan.config import TEXTS, field_types, renamed_options

if TYPE_CHECKING:
    from artgan.data.cluster import Cluster


class Format(str, Enum):
    """How results are printed."""

    text = "text"
    json = "json"


Output = Annotated[Format, typer.Option("--format", help="How results are printed.")]


class EngineName(str, Enum):
    """What the work is spread over: this machine, or a Ray cluster."""

    local = "local"
    ray = "ray"


def engine_option(panel: str | None = None) -> Any:
    """The option ``--engine``."""
    return typer.Option(help="Where the work runs: here, or distributed over a Ray cluster.", rich_help_panel=panel)


def address_option(panel: str | None = None) -> Any:
    """The option ``--address``."""
    return typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster's address, or auto. \\[default: start Ray on this machine]",
        show_default=False,
        rich_help_panel=panel,
    )


def cluster_of(engine: EngineName, address: str | None) -> Cluster | None:
    """The cluster that the options name, not yet connected.

    Raises:
        ConfigError: the options contradict each other, or Ray is not installed.
    """
    from artgan.errors import ConfigError

    if engine is EngineName.ray:
        from artgan.data.cluster import Cluster
        from artgan.painting.network import usable_threads

        return Cluster(address, processes=usable_threads())
    if address is not None:
        raise ConfigError("--address needs --engine ray")
    return None


Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps ... \\[default: cpu]", show_default=False)]

NetworkFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The network's weights. \\[default: from the user's settings, or downloaded]",
        show_default=False,
    ),
]


STROKES, SPEED = "Strokes and colors", "Speed and memory"
"""Headings in the help of commands that paint."""

Runtime = Annotated[
    str,
    typer.Option(
        help="What runs the model: torch, onnxruntime, openvino, or auto: ONNX Runtime if the model has an exported "
        "form and --device is not given.",
        autocompletion=completing.runtimes,
        rich_help_panel=SPEED,
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print which runtime runs the model.", rich_help_panel=SPEED)
]


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are on the command line, of those made by :func:`parameters`."""
    return {name: value for name, value in options.items() if value is not None}


def default_model() -> str:
    """The model to use if none is given."""
    from artgan.errors import ConfigError
    from artgan.models.registry import read_registry

    default = read_registry().default
    if not default:
        raise ConfigError("no registry file sets a default; name a model that artgan models lists")
    return default


def parse_settings(settings: Sequence[str] | None) -> dict[str, str]:
    """The values of ``--set KEY=VALUE`` by option, as text."""
    from artgan.errors import ConfigError

    values = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write KEY=VALUE")
        values[key.strip().replace("-", "_")] = value.strip()
    return values


def parameter(
    name: str,
    kind: Any,
    help: str,
    *,
    default: Any = None,
    flags: tuple[str, ...] = (),
    panel: str | None = None,
    hidden: bool = False,
    completer: Callable[[str], list[str]] | None = None,
) -> inspect.Parameter:
    """An option of a command, in the form that typer reads from a signature."""
    option = typer.Option(
        *flags, help=help, show_default=False, rich_help_panel=panel, hidden=hidden, autocompletion=completer
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def parameters(
    cls: type, panel: str, *, defaults: Mapping[str, Any] | None = None, taken: Collection[str] = ()
) -> list[inspect.Parameter]:
    """An option for each field of a dataclass, and hidden options for former names.

    Options that are not given are None, to distinguish them from options given with their default value.

    Args:
        cls: a dataclass whose fields are declared with :func:`artgan.config.option`.
        panel: the heading in the help text.
        defaults: shown instead of the dataclass's own defaults.
        taken: names of fields to omit.
    """
    kinds = {name: list[str] if kind == TEXTS else kind for name, (kind, _) in field_types(cls).items()}
    options = [
        parameter(
            field.name,
            kinds[field.name] | None,
            _describe(field, defaults or {}),
            panel=panel,
            completer=completing.OF_FIELDS.get(field.name),
        )
        for field in dataclasses.fields(cls)
        if field.name not in taken
    ]
    old = [
        parameter(old, kinds[new] | None, f"the old name of --{new}", hidden=True)
        for old, (new, _) in renamed_options(cls).items()
    ]
    return options + old


F = TypeVar("F", bound=Callable[..., Any])


def without_variable_options(function: F) -> F:
    """Hide ``**options`` from typer, which knows no such parameter: a command class adds the options themselves."""
    given = inspect.signature(function, eval_str=True).parameters.values()
    own = [each for each in given if each.kind is not each.VAR_KEYWORD]
    function.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]  # functions may carry one
    return function


def with_options_of(cls: type, panel: str) -> Callable[[F], F]:
    """Add an option for each field of a dataclass; those that are not given arrive in ``**options`` as None."""

    def add(function: F) -> F:
        function = without_variable_options(function)
        own = [*inspect.signature(function).parameters.values()]
        options = parameters(cls, panel, taken={parameter.name for parameter in own})
        function.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # see above
        return function

    return add


def command(name: str, run: Callable[..., None], options: Sequence[inspect.Parameter], *, help: str | None) -> Any:
    """A command that calls ``run`` with the values of ``options``."""

    def call(**given: Any) -> None:
        run(**given)

    # typer reads the options from the signature.
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # functions may carry one
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name, help=help)(call)
    return typer.main.get_command(single)


class GeneratedCommand(TyperCommand, ABC):
    """A command whose options are generated when it is called, since they depend on what is installed."""

    @abstractmethod
    def whole(self) -> Any:
        """The command with its options."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """See the base class."""
        return self.whole().make_context(info_name, args, parent, **extra)


def _describe(field: dataclasses.Field[Any], defaults: Mapping[str, Any]) -> str:
    """A field's help text with its default."""
    help = str(field.metadata.get("help", ""))
    default = defaults.get(field.name, field.default)
    if default not in (None, "", ()):
        help += f" [default: {', '.join(default) if isinstance(default, tuple) else default}]"
    return help.replace("[", "\\[")  # brackets are markup to rich
