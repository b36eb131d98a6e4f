"""An extension of griffe: Sphinx' roles in docstrings, such as :class:`Model`, become links where the site has a target."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`([^`]+)`")
_CODE = re.compile(r"``([^`]+)``")


class Roles(griffe.Extension):
    """Replaces roles by optional cross-references, which are plain code where nothing is documented."""

    def on_instance(self, *, obj: griffe.Object | griffe.Alias, **_: Any) -> None:
        """See the base class."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = _ROLE.sub(lambda role: _link(obj, role[1]), _CODE.sub(r"`\1`", obj.docstring.value))


def _link(obj: Any, role: str) -> str:
    name = role.removeprefix("~")
    shown = name.rpartition(".")[2] if role.startswith("~") else name
    first, dot, rest = name.partition(".")
    try:
        path = obj.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        path = name
    return f'<autoref optional identifier="{path}">`{shown}`</autoref>'
