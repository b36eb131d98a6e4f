"""An extension of griffe: Sphinx's roles in docstrings, such as :class:`Model`, become links within the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

FACADES = ("plugin", "toolkit", "testing")
"""Modules of artgan that document what other modules define."""

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`([^`]+)`")
_CODE = re.compile(r"``([^`]+)``")


class Roles(griffe.Extension):
    """Replaces roles by optional references, which are plain code where the site documents nothing of that name."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """See the base class."""
        if pkg.name != "artgan":
            return
        documented = {
            str(member.target_path): f"artgan.{facade}.{name}"
            for facade in FACADES
            for name, member in pkg[facade].members.items()
            if member.is_alias and name in (pkg[facade].exports or ())
        }
        self._replace(pkg, documented)

    def _replace(self, obj: Any, documented: dict[str, str]) -> None:
        if obj.docstring is not None:
            text = _CODE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _ROLE.sub(lambda role: _link(obj, role[1], documented), text)
        for member in obj.members.values():
            if not member.is_alias:
                self._replace(member, documented)


def _link(obj: Any, role: str, documented: dict[str, str]) -> str:
    name = role.removeprefix("~")
    shown = name.rpartition(".")[2] if role.startswith("~") else name
    first, dot, rest = name.partition(".")
    try:
        path = obj.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        path = name
    for defined, public in documented.items():
        if f"{path}.".startswith(f"{defined}."):
            path = public + path.removeprefix(defined)
    return f'<autoref optional identifier="{path}">`{shown}`</autoref>'
