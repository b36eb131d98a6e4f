"""What several commands say on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from artgan.errors import printable

if TYPE_CHECKING:
    from artgan.painting.network import Network


def say_what_runs(name: str, network: Network) -> None:
    """Say on standard error what runs a model."""
    threads = f", {network.threads} thread{'' if network.threads == 1 else 's'}" if network.device == "cpu" else ""
    print(f"artgan: {name} runs in {network.runtime} on {network.device}{threads}", file=sys.stderr)


def name_failures(failures: list[str], total: int) -> None:
    """Print failures on standard error, with their number if there are several inputs."""
    for failure in failures:
        print(f"artgan: {printable(failure)}", file=sys.stderr)
    if failures and total > 1:
        print(f"artgan: {len(failures)} of {total} failed", file=sys.stderr)
