"""Write docs/reference/cli.md: all commands and their options, those of this repository's plugins included.

python scripts/cli_reference.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from artgan.cli.app import app
from artgan.cli.options import GeneratedCommand, command, parameters
from artgan.discovery import load_plugin, resolve

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/cli.md"
PLUGINS = {path.name.removeprefix("artgan-") for path in ROOT.glob("plugins/artgan-*")}

_TYPES = {"int": "N", "float": "NUMBER", "path": "PATH"}

HEAD = """\
<!-- Written by scripts/cli_reference.py; change the docstrings and the options in src/artgan/cli, and run it again. -->

# The command line

Results are printed on standard output, messages on standard error. The exit status is 0 when all is done, 1 when some
inputs failed (the others are done, and each failure is named), 2 when the call itself was wrong, and 130 after Ctrl-C.
`artgan COMMAND --help` prints what is on this page, `artgan paint --model MODEL --help` the options of a model too.
"""


def main() -> None:
    PAGE.write_text(page())


def page() -> str:
    """The whole page, as Markdown."""
    root = typer.main.get_command(app)
    return "\n".join([HEAD, *_sections(root, root.make_context("artgan", [], resilient_parsing=True), "artgan", 2)])


def _sections(group: Any, context: Any, called: str, level: int) -> Iterator[str]:
    """A section for each command of a group, as lines; a group's own commands follow it."""
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if called == "artgan train" and (name not in PLUGINS or load_plugin(name).trainer is None):
            continue
        found = found.whole() if isinstance(found, GeneratedCommand) else found
        yield f"{'#' * level} {called} {name}\n"
        yield from (f"{paragraph}\n" for paragraph in _paragraphs(found.help or ""))
        if hasattr(found, "list_commands"):
            yield from _sections(found, context, f"{called} {name}", level + 1)
        else:
            yield from _usage(found, context, f"{called} {name}")
        if name == "paint":
            yield from _options_of_models(context)


def _options_of_models(context: Any) -> Iterator[str]:
    """A section for each plugin whose models have options of painting."""
    for plugin in map(load_plugin, sorted(PLUGINS)):
        options = parameters(resolve(plugin, "options"), "") if plugin.options else []
        if options:
            yield f"### artgan paint with a model of {plugin.name}\n"
            yield from _list(command("paint", print, options, help=None), context)


def _usage(found: Any, context: Any, called: str) -> Iterator[str]:
    arguments = [each for each in found.params if each.param_type_name == "argument"]
    words = [_metavar(each, context) if each.required else f"[{_metavar(each, context)}]" for each in arguments]
    yield f"    {' '.join([called, *words, '[OPTIONS]'])}\n"
    yield from (f"- `{_metavar(each, context)}`: {_text(each)}" for each in arguments)
    yield from _list(found, context)


def _list(found: Any, context: Any) -> Iterator[str]:
    """The options under the headings that --help has; first those without a heading, which continue the arguments."""
    panels: dict[str, list[Any]] = {}
    for each in found.params:
        if each.param_type_name == "option" and not each.hidden:
            panels.setdefault(each.rich_help_panel or "", []).append(each)
    for panel in sorted(panels, key=bool):
        if panel:
            yield f"\n**{panel}**\n"
        yield from (f"- {_names(option, context)}: {_text(option)}" for option in panels[panel])
    yield ""


def _names(option: Any, context: Any) -> str:
    long_first = sorted(option.opts, key=lambda name: not name.startswith("--"))
    if option.is_flag:
        return ", ".join(f"`{name}`" for name in [*long_first, *option.secondary_opts])
    first, *others = long_first
    return ", ".join([f"`{first} {_metavar(option, context)}`", *(f"`{name}`" for name in others)])


def _metavar(each: Any, context: Any) -> str:
    """What stands for a value. Versions of typer have other words for the types, so these are our own."""
    if each.metavar:
        return str(each.metavar)
    if each.param_type_name == "argument":
        return str(each.name).upper()
    names, _ = each.get_help_record(context)
    kind = " ".join(word for word in names.split() if not word.startswith("-")).strip("<>[]").lower()
    if "|" in kind:  # the choices
        return kind
    return next((word for part, word in _TYPES.items() if part in kind), "TEXT")


def _text(each: Any) -> str:
    """A help text as Markdown, with the default."""
    text = _markdown(each.help or "")
    shown = ""
    if isinstance(each.show_default, str):
        shown = each.show_default
    elif each.show_default and each.default not in (None, True, False):
        shown = str(getattr(each.default, "value", each.default))
    if each.required and each.param_type_name == "option":
        text += " Required."
    return f"{text} [default: {shown}]" if shown else text


def _paragraphs(help: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", help.strip()):
        yield _markdown(" ".join(paragraph.split()))


def _markdown(text: str) -> str:
    """Plain text, with its code in backticks, as Markdown."""
    text = text.replace("\\[", "[").replace("<", "&lt;").replace("* ", "\\* ")
    return re.sub(r"`[^`]*`|(?<![\w-])--[a-z][\w-]*(?: [A-Z]{3,})?", lambda code: f"`{code[0].strip('`')}`", text)


if __name__ == "__main__":
    main()
