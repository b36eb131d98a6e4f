"""Writes a new plugin's distribution from templates. Does not import torch."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from artgan.discovery import find_plugins
from artgan.errors import ArtganError, PluginError
from artgan.files import replace_durably, temporary_folder

_TEMPLATES = Path(__file__).parent / "templates"
# Stricter than for a manifest: the name also becomes part of a package name and, as artgan-NAME, of a distribution
# name. The length limit keeps the lines of the generated code under 88 characters.
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_LONGEST = 30


def write_plugin(name: str, folder: Path | None = None) -> Path:
    """Write the distribution of a working plugin, with trainable networks and tests: completely or not at all.

    Args:
        name: the plugin's name: lower-case letters and digits, words joined by single "-" or "_".
        folder: a new or empty folder; by default ``artgan-NAME`` in the current one.

    Returns:
        The folder.

    Raises:
        PluginError: the name is invalid, or is that of an installed plugin.
        ArtganError: the folder is not empty or cannot be written.
    """
    values = _names(name)
    folder = folder or Path(values["distribution"])
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ArtganError(f"{folder}: is not a new or empty folder; give another: -o DIR")
        place = folder.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(place.parent) as temporary:
            written = Path(temporary, place.name)
            _render(written, values)
            if place.exists():  # empty, and possibly a shell's current folder: keep it
                for part in written.iterdir():
                    replace_durably(part, place / part.name)
            else:
                replace_durably(written, place)
    except OSError as error:
        raise ArtganError(f"{folder}: the plugin cannot be written here ({error.strerror})") from None
    return folder


def _names(name: str) -> dict[str, str]:
    """The values for the templates: names of the plugin and its parts."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise PluginError(
            f"plugin name {name!r}: use lower-case letters and digits, beginning with a letter, words joined by "
            f"'-' or '_', {_LONGEST} characters at most"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise PluginError(f"plugin name {name!r}: is a Python keyword; choose another name")
    for found in find_plugins().values():
        if found.name.replace("-", "_") == module:
            raise PluginError(f"plugin name {name!r}: {found} is installed; choose another name")
    words = module.split("_")
    return {
        "name": name,
        "module": module,
        "package": f"artgan_{module}",
        "distribution": f"artgan-{module.replace('_', '-')}",
        "prefix": "".join(map(str.capitalize, words)),
        "title": " ".join(words).capitalize(),
    }


def _render(folder: Path, values: dict[str, str]) -> None:
    """Render each template to its path without ``.jinja``, with PACKAGE and MODULE in the path replaced."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    for template in environment.list_templates(extensions=["jinja"]):
        inside = template.removesuffix(".jinja").replace("PACKAGE", values["package"])
        path = folder / inside.replace("MODULE", values["module"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(environment.get_template(template).render(values), encoding="utf-8", newline="\n")
