"""The page of a study: what came of each value of the option that it varies. Free of torch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from artgan.files import atomic_write
from artgan.reports.page import data_uri, figure_svg
from artgan.reports.record import RunRecord, read_run
from artgan.reports.run import ReportError, colored, duration, overlaid, write

SHEET = "study.jpg"
"""Pictures by a run's model, in the run's folder."""


@dataclass(frozen=True)
class Kind:
    """One value of the option, with its runs.

    Attributes:
        name: the value, as the user gave it.
        runs: the folders of the runs that exist, one for each seed, the first seed's first.
        figures: by name, the value of each run that completed, in the order of the seeds.
        intervals: by name, the 95 % confidence interval of the mean over the seeds, if there are several.
        errors: why runs failed, by seed.
    """

    name: str
    runs: Sequence[Path]
    figures: Mapping[str, Sequence[float]]
    intervals: Mapping[str, tuple[float, float]]
    errors: Mapping[int, str]


def write_study(
    out: Path,
    kinds: Sequence[Kind],
    *,
    option: str,
    figures: Mapping[str, str],
    given: Mapping[str, Path],
    seeds: int,
) -> None:
    """Write a study's page: pictures and figures of all kinds side by side, then the training, and times last.

    The chart of each figure is also written next to it, as ``FIGURE.svg``, for other documents.

    Args:
        out: the page.
        kinds: in the order in which they are shown.
        option: the option whose values they are.
        figures: what each figure means, by its name.
        given: sheets of pictures that were given and not made, by what they show.
        seeds: number of runs planned for each kind.

    Raises:
        ReportError: the page or a chart cannot be written.
    """
    charts = {name: _chart(kinds, name) for name in figures}
    first = {kind.name: read_run(kind.runs[0]) for kind in kinds if kind.runs}
    record = next(iter(first.values()), None)
    shown = [(label, _picture(sheet), "") for label, sheet in given.items()]
    shown += [(kind.name, _picture(kind.runs[0] / SHEET) if kind.runs else None, _caption(kind)) for kind in kinds]
    write(
        out,
        "study.html",
        option=option,
        kinds=kinds,
        seeds=seeds,
        facts=_facts(record) if record else "",
        sheets=[row for row in shown if row[1] or row[2]],
        figures=[(name, about, charts[name]) for name, about in figures.items()],
        rows=[(kind.name, [_spread(kind, name) for name in figures]) for kind in kinds],
        failed=[(kind.name, seed, why) for kind in kinds for seed, why in kind.errors.items()],
        colors=colored(first),
        losses=overlaid(first, "losses", smooth=True),
        times=[_times(kind, out.parent) for kind in kinds],
    )
    for name, chart in charts.items():
        path = out.with_name(f"{name}.svg")
        try:
            with atomic_write(path) as part:
                part.write_text(chart, encoding="utf-8")
        except OSError as error:
            raise ReportError(f"{path}: cannot be written: {error.strerror or error}") from None


def _facts(record: RunRecord) -> str:
    """What all runs share, in a sentence."""
    sets = ", ".join(f"{facts.get('pictures', '?')} {name}" for name, facts in record.data.items())
    return f"{record.plugin}, {record.steps or 0:,} steps each, on {sets or 'no pictures'}; all else is equal."


def _caption(kind: Kind) -> str:
    return ", ".join(f"{name} {_number(float(np.mean(values)))}" for name, values in kind.figures.items() if values)


def _spread(kind: Kind, name: str) -> str:
    """The mean over the seeds and half the width of its interval."""
    values = kind.figures.get(name, ())
    if not values:
        return "–"
    mean = float(np.mean(values))
    if name not in kind.intervals:
        return _number(mean)
    low, high = kind.intervals[name]
    half = (high - low) / 2
    decimals = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 3  # two digits of the uncertainty
    return f"{mean:,.{decimals}f} ± {half:,.{decimals}f}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _times(kind: Kind, folder: Path) -> tuple[str, str, str, list[tuple[str, str]]]:
    """Name, time of all runs, time of a step, and the runs' own pages as label and relative link."""
    records = [read_run(run) for run in kind.runs]
    seconds = [record.total_seconds for record in records if record.total_seconds is not None]
    steps = [record.seconds_per_step for record in records if record.seconds_per_step is not None]
    pages = [
        (f"seed {record.config['training']['seed']}", Path(os.path.relpath(run / "report.html", folder)).as_posix())
        for run, record in zip(kind.runs, records, strict=True)
        if (run / "report.html").is_file()
    ]
    per_step = float(np.mean(steps)) if steps else None
    return kind.name, duration(sum(seconds) if seconds else None), duration(per_step), pages


def _picture(path: Path) -> str | None:
    try:
        return data_uri(path.read_bytes(), "image/jpeg")
    except OSError:
        return None


def _chart(kinds: Sequence[Kind], name: str) -> Markup:
    """Every kind's mean with its interval, and the value of each seed as a small dot under it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 0.7 + 0.36 * len(kinds)))
    axes: Any = figure.subplots()
    for row, (kind, color) in enumerate(zip(kinds, colored([kind.name for kind in kinds]).values(), strict=True)):
        values = kind.figures.get(name, ())
        if not values:
            continue
        mean = float(np.mean(values))
        if name in kind.intervals:
            axes.scatter(values, [row + 0.24] * len(values), color=color, alpha=0.6, s=10, linewidths=0)
            axes.errorbar(mean, row, xerr=mean - kind.intervals[name][0], color=color, capsize=4, linewidth=1.6)
        axes.plot([mean], [row], marker="o", color=color, markersize=6)
    axes.set_yticks(range(len(kinds)), [kind.name for kind in kinds], parse_math=False)
    axes.set_ylim(len(kinds) - 0.4, -0.6)  # the first kind on top
    axes.grid(axis="x", color="#ddd", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    return figure_svg(figure)
