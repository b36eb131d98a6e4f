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

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/cli.md"
PLUGINS = {path.name.removeprefix("artgan-") for path in ROOT.glob("plugins/artgan-*")}

_TYPES = {"int": "N", "float": "NUMBER", "path": "PATH"}

HEAD = """\
<!-- Written by scripts/cli_reference.py; change the docstrings and the options in src/artgan/cli, and run it again. -->

# The command line

Results are printed on standard output, messages on standard error. The exit status is 0 when all is done, 1 when some
inputs failed (the others are done, and each failure is named), 2 when the call itself was wrong, and 130 after Ctrl-C.
`artgan COMMAND --help` prints what is on this page; `artgan paint --model MODEL --help` adds the options of a model.
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
        command = group.get_command(context, name)
        if called == "artgan train" and (name not in PLUGINS or "nothing to train" in command.help):
            continue
        command = command.whole() if hasattr(command, "whole") else command
        yield f"{'#' * level} {called} {name}\n"
        yield from (f"{paragraph}\n" for paragraph in _paragraphs(command.help or ""))
        if hasattr(command, "list_commands"):
            yield from _sections(command, context, f"{called} {name}", level + 1)
        else:
            yield from _usage(command, context, f"{called} {name}")


def _usage(command: Any, context: Any, called: str) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    words = [_metavar(each, context) if each.required else f"[{_metavar(each, context)}]" for each in arguments]
    yield f"    {' '.join([called, *words, '[OPTIONS]'])}\n"
    yield from (f"- `{_metavar(each, context)}`: {_text(each)}" for each in arguments)
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(option.rich_help_panel or "", []).append(option)
    for panel in sorted(panels, key=bool):  # first those without a heading, which continue the arguments
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
    return re.sub(r"(?<![`\w-])(--[a-z][\w-]*(?: [A-Z]{3,})?(?: --help)?)(?![`\w-])", r"`\1`", text)


if __name__ == "__main__":
    main()
