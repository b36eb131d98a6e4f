"""Exit statuses used in several places."""

from __future__ import annotations

import sys


def interrupted() -> int:
    """Report that Ctrl-C was pressed; returns the exit status."""
    print("artgan: interrupted", file=sys.stderr)
    return 130
