"""Exit statuses that several places share."""

from __future__ import annotations

import sys


def interrupted() -> int:
    """Say that Ctrl-C was pressed; returns the exit status."""
    print("artgan: interrupted", file=sys.stderr)
    return 130
