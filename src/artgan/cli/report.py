"""``artgan report``: write the page about a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run.")]) -> None:
    """Rewrite RUN/report.html: samples, losses, times and configuration of a training run."""
    from artgan.reports.run import write_run_report

    print(write_run_report(run))
