"""The pages of training runs: one run, or several side by side. Free of torch."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from artgan.errors import ArtganError
from artgan.reports.page import data_uri, figure_svg, write_page
from artgan.reports.record import Curve, RunRecord, flatten, is_run, mapping, read_run

_POINTS = 500  # per curve; more cannot be distinguished on the page
_SHEETS = 40  # per page, however long the run
_SHEET_BYTES = 150_000  # larger sheets are shrunk
_SHEET_SIDE = 1024
_LEFT_OUT = 50  # pictures that are listed
_PLOT = (4.6, 2.5)  # inches
_AXES = (0.155, 0.19, 0.805, 0.74)  # left, bottom, width and height within it, with room for labels
_LAST_LINES = 10  # of the log, averaged for the last losses in a comparison
_COLORS = (
    "#1f77b4",
    "#d1580b",
    "#2c8a2c",
    "#c22a2b",
    "#7d53ab",
    "#8c564b",
    "#c33f9c",
    "#666666",
    "#8a8a12",
    "#108d9b",
)


class ReportError(ArtganError):
    """A page about training runs cannot be made or written."""


def write_run_report(run: Path) -> Path:
    """Write ``RUN/report.html``, a self-contained page.

    It may be rewritten at any time during the run; missing and partial files are ignored.

    Raises:
        ReportError: this is not a run's folder, or the page cannot be written.
    """
    if not is_run(run) and not (run / "log.jsonl").is_file():
        raise ReportError(f"{run}: not a run's folder: it holds neither config.yaml nor log.jsonl")
    record = read_run(run)
    series = {name.partition("/")[2] or name: None for name in record.losses}
    groups: dict[str, dict[str, Curve]] = {}
    for name, curve in record.losses.items():
        group, _, part = name.partition("/")
        groups.setdefault(group, {})[part or name] = curve
    losses = [_plot(group, curves, colored(series), smooth=True) for group, curves in groups.items()]
    pace = "seconds per step"
    out = run / "report.html"
    write(
        out,
        "run.html",
        name=run.resolve().name,
        run=record,
        facts=_facts(record),
        losses=losses,
        rates=_plot("learning rate", record.rates, colored(record.rates)) if record.rates else None,
        pace=_plot(pace, {pace: record.seconds}, colored([pace]), smooth=True, from_zero=True)
        if record.seconds
        else None,
        metrics=[_plot(name, {name: curve}, colored([name])) for name, curve in record.metrics.items()],
        metric_rows=_metric_rows(record),
        sheets=[("", _frames(record, _SHEETS))],
        held_out=any("held_out" in domain for domain in record.data.values()),
        left_out=record.left_out[:_LEFT_OUT],
        more_left_out=max(0, len(record.left_out) - _LEFT_OUT),
        passed_over=_passed_over(record),
        sessions=[_session(session) for session in record.sessions],
    )
    return out


def write_comparison(runs: Sequence[Path], out: Path, *, overwrite: bool = False) -> None:
    """Write a page that compares training runs side by side.

    Args:
        runs: their folders, two or more.
        out: the page; its name ends in ``.html``.
        overwrite: replace the page if it exists.

    Raises:
        ReportError: there are fewer than two runs, a run is given twice, a folder is not a run's, or the page cannot
            be written.
    """
    for run in runs:
        if not is_run(run):
            raise ReportError(f"{run}: not a run's folder (no config.yaml in it); compare runs with runs only")
    if len(runs) < 2:
        raise ReportError("give at least two runs to compare; a single run's page is its report.html")
    folders = [run.resolve() for run in runs]
    if len(set(folders)) < len(folders):
        twice = next(run for run, folder in zip(runs, folders, strict=True) if folders.count(folder) > 1)
        raise ReportError(f"{twice}: given twice; give different runs")
    if out.suffix.lower() != ".html":
        raise ReportError(f"{out}: a comparison of runs is a page; give a name that ends in .html")
    if not overwrite and os.path.lexists(out):
        raise ReportError(f"{out}: exists already; choose another name or allow overwriting")
    records = dict(zip(_labels(folders), map(read_run, runs), strict=True))
    colors = colored(records)

    write(
        out,
        "comparison.html",
        colors=colors,
        facts=_transposed({label: _facts(record) for label, record in records.items()}),
        options=[row for row in _options(records) if len(set(row[1])) > 1],
        losses=overlaid(records, "losses", smooth=True),
        last_losses=_last_values(records, "losses", _LAST_LINES),
        metrics=overlaid(records, "metrics"),
        last_metrics=_last_values(records, "metrics", 1),
        sheets=[(label, _frames(record, max(5, _SHEETS // len(records)))) for label, record in records.items()],
    )


def overlaid(records: Mapping[str, RunRecord], kind: str, **options: Any) -> list[_Plot]:
    """A plot for each of the runs' curves of a kind, ``"losses"`` or ``"metrics"``, with all runs in it by label."""
    curves: dict[str, Mapping[str, Curve]] = {label: getattr(record, kind) for label, record in records.items()}
    return [
        _plot(name, {label: mine[name] for label, mine in curves.items() if name in mine}, colored(records), **options)
        for name in sorted({name for mine in curves.values() for name in mine})
    ]


def write(out: Path, template: str, **values: Any) -> None:
    """Render a template to a page.

    Raises:
        ReportError: the page cannot be written.
    """
    try:
        write_page(out, template, **values)
    except OSError as error:
        raise ReportError(f"{out}: cannot be written: {error.strerror or error}") from None


# ---- tables


def _facts(record: RunRecord) -> dict[str, str]:
    """A run's properties and progress, as text by name."""
    first = record.sessions[0] if record.sessions else {}
    again = len(record.sessions) - 1
    of = f" of {record.steps:,}" if record.steps else ""
    epoch = record.epoch(record.done)
    best = {}
    if record.kept is not None:
        step, score, value = record.kept
        best = {"best model": f"step {step:,} ({score} {_number(value)})"}
    return {
        "plugin": record.plugin,
        "started": str(first.get("started", "unknown"))
        + (f", resumed {again} time{'s'[: again > 1]}" if again > 0 else ""),
        "steps done": f"{record.done:,}{of}" + (f" (epoch {epoch:.2f})" if epoch is not None else ""),
        **best,
        "total time": duration(record.total_seconds),
        "time per epoch": duration(record.seconds_per_epoch),
        "time per step": duration(record.seconds_per_step),
    }


def _passed_over(record: RunRecord) -> list[str]:
    """What the sets leave out besides unreadable pictures, by kind."""
    sets = mapping(record.last_session.get("passed_over"))
    return [
        f"{name}: {', '.join(f'{count} {kind}' for kind, count in mapping(kinds).items())}"
        for name, kinds in sets.items()
    ]


def _changes(session: Mapping[str, Any]) -> list[str]:
    """The options and pictures that differ from the session before."""
    options = [
        f"{name}: {pair[0]} became {pair[1]}"
        for name, pair in mapping(session.get("changed")).items()
        if isinstance(pair, list) and len(pair) == 2
    ]
    sets = mapping(session.get("changed_pictures"))
    pictures = [
        f"{domain}: {', '.join(f'{len(names):,} {kind}' for kind, names in mapping(kinds).items() if names)}"
        for domain, kinds in sets.items()
    ]
    return options + pictures


def _session(session: Mapping[str, Any]) -> dict[str, Any]:
    """A start or resumption as text, and a list of what changed."""
    command = session.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else [str(command or "unknown")]
    keys = ("device", "machine", "processes", "threads", "precision")
    return {
        "started": str(session.get("started", "unknown")),
        "step": f"{session['step']:,}",
        "command": shlex.join(words),
        "on": ", ".join(f"{key} {session[key]}" for key in keys if key in session),
        "changes": _changes(session),
        "versions": ", ".join(f"{name} {version}" for name, version in mapping(session.get("versions")).items()),
    }


def _metric_rows(record: RunRecord) -> list[tuple[int, list[str]]]:
    steps = sorted({step for curve in record.metrics.values() for step in curve})
    return [(step, [_number(curve.get(step)) for curve in record.metrics.values()]) for step in steps]


def _options(records: Mapping[str, RunRecord]) -> list[tuple[str, tuple[str, ...]]]:
    """Options, data and environment: the name of each, and its value in every run."""
    circumstances = ("device", "machine", "processes", "threads", "versions")
    columns = []
    for record in records.values():
        session = {key: record.last_session[key] for key in circumstances if key in record.last_session}
        columns.append({key: str(value) for key, value in flatten({**record.config, "session": session})})
    keys = dict.fromkeys(key for column in columns for key in column)
    return [(key, tuple(column.get(key, "–") for column in columns)) for key in keys]


def _last_values(records: Mapping[str, RunRecord], kind: str, lines: int) -> list[tuple[str, list[str]]]:
    """For each loss or metric, the mean of its last lines in every run."""
    curves: list[Mapping[str, Curve]] = [getattr(record, kind) for record in records.values()]
    names = sorted({name for mine in curves for name in mine})
    lasts = {name: [list(mine.get(name, {}).values())[-lines:] for mine in curves] for name in names}
    return [(name, [_number(float(np.mean(v)) if v else None) for v in values]) for name, values in lasts.items()]


def _transposed(columns: Mapping[str, Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    return [(row, [column.get(row, "–") for column in columns.values()]) for row in rows]


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many parent folders as needed to make them unique."""
    labels: list[str] = []
    for depth in range(1, max(len(folder.parts) for folder in folders) + 1):
        labels = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(labels)) == len(labels):
            break
    return labels


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min" if minutes >= 60 else f"{seconds / 60:.1f} min"


# ---- curves


@dataclass(frozen=True)
class _Plot:
    """A plot; its title and legend are HTML text, so that any name in any script can be shown."""

    title: str
    svg: Markup
    legend: Sequence[tuple[str, str]]
    cut: bool


def colored(names: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """A color for each name, in order; they repeat after ten."""
    return {name: _COLORS[index % len(_COLORS)] for index, name in enumerate(names)}


def _plot(
    title: str,
    curves: Mapping[str, Curve],
    colors: Mapping[str, str],
    *,
    smooth: bool = False,
    from_zero: bool = False,
) -> _Plot:
    """Curves by step in a small plot; ``smooth`` adds a moving mean, and draws the logged values faintly."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PLOT)
    axes = figure.add_axes(_AXES)
    everything = []
    for name, curve in curves.items():
        steps, values = _thinned(curve)
        everything.append(values)
        marker = "o" if len(steps) == 1 else "." if len(steps) < 30 else ""
        if smooth:
            axes.plot(steps, values, color=colors[name], alpha=0.25, linewidth=0.8)
            values = _smoothed(values)
        axes.plot(steps, values, color=colors[name], linewidth=1.6, marker=marker)
    low, high, cut = _limits(np.concatenate(everything))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1
    axes.set_ylim(0 if from_zero else low - margin, high + margin)
    axes.grid(color="#ddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=5)  # most of the time is spent on ticks
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))  # labels that have room
    axes.set_xlabel("step")
    legend = [(name, color) for name, color in colors.items() if name in curves]
    return _Plot(title, figure_svg(figure, crop=False), legend, cut)


def _thinned(curve: Curve) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Steps and values; if there are too many, neighbors are averaged."""
    steps, values = np.array(list(curve), dtype=float), np.array(list(curve.values()))
    if len(steps) <= _POINTS:
        return steps, values
    starts = np.linspace(0, len(steps), _POINTS, endpoint=False).astype(int)
    counts = np.diff(starts, append=len(steps))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts


def _smoothed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The centered moving mean over a twentieth of the curve, truncated at its ends."""
    window = np.ones(2 * (len(values) // 40) + 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def _limits(values: np.ndarray[Any, Any]) -> tuple[float, float, bool]:
    """The range to show, and whether it excludes a few values: the first losses can dwarf all later ones."""
    low, high = float(values.min()), float(values.max())
    usual_low, usual_high = (float(bound) for bound in np.percentile(values, [2, 98]))
    if high - low > 2 * (usual_high - usual_low) > 0:
        return max(low, usual_low - 0.2 * (usual_high - usual_low)), usual_high + 0.2 * (usual_high - usual_low), True
    return low, high, False


# ---- sample sheets


@dataclass(frozen=True)
class _Frame:
    """A sample sheet on the page."""

    step: int
    caption: str
    uri: str


def _frames(record: RunRecord, most: int) -> list[_Frame]:
    """The readable sheets; if there are too many, an even selection that includes the first and the last."""
    steps = list(record.sheets)
    if len(steps) > most:
        steps = [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]
    frames = []
    for step in steps:
        uri = _sheet_uri(record.sheets[step])
        epoch = record.epoch(step)
        if uri is not None:
            frames.append(_Frame(step, f"step {step:,}" + (f", epoch {epoch:.2f}" if epoch is not None else ""), uri))
    return frames


def _sheet_uri(path: Path) -> str | None:
    try:
        return _small_sheet(path, path.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


@lru_cache(maxsize=3 * _SHEETS)  # a run's report is written at each checkpoint, mostly from the same sheets
def _small_sheet(path: Path, modified: int) -> str:
    data = path.read_bytes()
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if len(data) > _SHEET_BYTES:
            image.thumbnail((_SHEET_SIDE, _SHEET_SIDE), reducing_gap=1.0)  # decodes only as much as needed
            smaller = io.BytesIO()
            image.convert("RGB").save(smaller, "JPEG", quality=80)
            data = smaller.getvalue()
    return data_uri(data, "image/jpeg")
