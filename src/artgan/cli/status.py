"""What is known before the commands are imported: exit statuses, and the way in which a shell asks for candidates."""

from __future__ import annotations

import sys

COMPLETING = "_ARTGAN_COMPLETE"
"""The environment variable by which the shells' scripts ask what could complete a command line."""


def interrupted() -> int:
    """Report that Ctrl-C was pressed; returns the exit status."""
    print("artgan: interrupted", file=sys.stderr)
    return 130
