"""A command that also takes the options of the model that it uses, which depend on the model's plugin.

Typer reads a command's options from a signature before anything is parsed, and which model is meant is known only
afterwards. So the command line is parsed twice: first leniently, for the model's name; then, if that model's plugin has
options, by a command that has these too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from typer.core import TyperCommand

from artgan.cli.options import command, default_model, parameters
from artgan.errors import ArtganError


class ModelOptionsCommand(TyperCommand):
    """A command whose options are those of ``function`` and those of the plugin of the model that ``--model`` names.

    Attributes:
        function: decorated with :func:`without_variable_options`; it has the parameters ``inputs`` and ``model``.
    """

    function: ClassVar[Callable[..., None]]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of this command, or of one that has the plugin's options too."""
        found = self._plugin_options(info_name, args, parent, completing=bool(extra.get("resilient_parsing")))
        if found is None:
            return super().make_context(info_name, args, parent, **extra)
        plugin, cls = found
        own = [*inspect.signature(self.function).parameters.values()]
        options = [*own, *parameters(cls, plugin, taken={parameter.name for parameter in own})]
        whole = command(self.name or info_name or "", self._run, options, help=self.help)
        return whole.make_context(info_name, args, parent, **extra)

    def _run(self, **given: Any) -> None:
        self.function(**{name: value for name, value in given.items() if value is not None})

    def _plugin_options(
        self, info_name: str | None, args: list[str], parent: Any, *, completing: bool
    ) -> tuple[str, type] | None:
        """The plugin and its options, if a model's are to be shown, or the command line has foreign options.

        Raises:
            ArtganError: there is no such model, or its plugin is broken.
        """
        from artgan.discovery import resolve
        from artgan.models.locating import plugin_of

        read = super().make_context(info_name, [*args], parent, resilient_parsing=True, ignore_unknown_options=True)
        help = completing or not set(args).isdisjoint(read.help_option_names)
        foreign = any(str(path).startswith("-") and str(path) != "-" for path in read.params["inputs"] or ())
        source = read.get_parameter_source("model")
        named = source is not None and source.name == "COMMANDLINE"
        if not foreign and not (help and named):
            return None
        try:
            plugin = plugin_of(read.params["model"] or default_model())
            return (plugin.name, resolve(plugin, "options")) if plugin and plugin.options else None
        except ArtganError:
            if help:  # the command's own options can be shown without the model
                return None
            raise
