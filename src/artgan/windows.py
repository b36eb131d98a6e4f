"""File names that Windows cannot keep: it reports no error, but loses what is written to them."""

from __future__ import annotations

import os
import re
from pathlib import PurePath

_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[1-9¹²³])", re.I)


def refused_by_windows(path: PurePath) -> str | None:
    """The reason why Windows cannot keep a file of this name, as a clause, or None if it can.

    Output to the name of a device is lost, and a colon hides the output in a stream of another file. Only the last part
    of the path is checked: Windows itself reports folders that do not exist.
    """
    name = path.name
    if _DEVICE.fullmatch(name.partition(".")[0].rstrip(" ")):
        return "Windows reserves this name for a device"
    if name != name.rstrip(". "):
        return "Windows drops dots and spaces at the end of a name"
    found = re.search(r'[<>:"|?*\x00-\x1f]', name)
    return f"Windows does not allow {found[0]!r} in names" if found else None


def refused_here(path: PurePath) -> str | None:
    """The same on Windows; None on other systems."""
    return refused_by_windows(path) if os.name == "nt" else None
