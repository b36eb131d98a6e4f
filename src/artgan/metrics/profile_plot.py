"""Plots of the profiles of sets of pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from artgan import images
from artgan.metrics.profile import OCTAVES, ORIENTATIONS, Profile, Statistic, to_lab

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _FAINT = "#222222", "#6b6b6b"
_LABEL = 24  # characters
_CYCLE = ("#2a5d8f", "#d98b1f", "#6a8f4e", "#8a8a8a", "#a23b4c", "#6b5b95", "#3aa0a0", "#5c4433")
_TITLES = {
    "lightness": "Lightness (mean L*)",
    "contrast": "Contrast (deviation of L*)",
    "chroma": "Chroma (distance from gray)",
    "warmth": "Warmth (-1 blue, 1 orange)",
    "edges": "Edges (share of pixels)",
    "sharpness": "Sharpness (Laplacian by contrast)",
}


def draw(profiles: Mapping[str, Profile], path: Path) -> None:
    """Write the figure of :func:`plot` to a picture file atomically, replacing an existing one.

    Raises:
        ValueError: there is no profile.
        PictureError: the suffix is not a picture format's, or the file cannot be written.
    """
    images.check_writable(path, overwrite=True)
    buffer = io.BytesIO()
    plot(profiles).savefig(buffer, format="png", dpi=150)
    images.encode(images.decode_bytes(buffer.getvalue(), str(path)).rgb, path, overwrite=True)


def plot(profiles: Mapping[str, Profile]) -> Figure:
    """Plot profiles side by side: palettes, then a panel for each statistic; error bars are one standard deviation.

    Raises:
        ValueError: there is no profile.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not profiles:
        raise ValueError("needs at least one profile")
    sets = [_Shown(_label(name), of_set, _CYCLE[i % len(_CYCLE)]) for i, (name, of_set) in enumerate(profiles.items())]
    tall = 0.5 + 0.42 * len(sets)  # inches, of the palettes, a panel and the rows below
    panel = max(1.5, 0.5 + 0.3 * len(sets))
    curves = 3.2 + 0.2 * -(-len(sets) // 4)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(10, tall + 2 * panel + curves), layout=layout)
    rows: Any = figure.subfigures(3, 1, height_ratios=[tall, 2 * panel, curves])
    _palettes(rows[0].subplots(), sets)
    for (name, title), axes in zip(_TITLES.items(), rows[1].subplots(2, 3, sharey=True).flat, strict=True):
        _scalars(axes, title, name, sets)
    strokes, lie = rows[2].subplots(1, 2)
    _curves(strokes, "Strokes: share of the energy by wavelength", "octaves", OCTAVES, sets)
    strokes.set_xlabel("pixels", fontsize=9, color=_FAINT)
    degrees = [f"{180 * i / ORIENTATIONS:g}°" for i in range(ORIENTATIONS)]
    _curves(lie, "Orientation of edges (0° horizontal, 90° vertical)", "orientations", degrees, sets)
    lie.axhline(1 / ORIENTATIONS, color=_FAINT, lw=0.8, ls=":")
    rows[2].legend(handles=strokes.lines, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


class _Shown(NamedTuple):
    label: str
    profile: Profile
    color: str


def _label(name: str) -> str:
    """Shorten a long name to its end, and escape characters that matplotlib would read as a formula."""
    return (name if len(name) <= _LABEL else "…" + name[-_LABEL + 1 :]).replace("$", r"\$")


def _palettes(axes: Any, sets: Sequence[_Shown]) -> None:
    """Draw a stacked bar for each set, dark to light, with widths proportional to the shares."""
    for row, shown in enumerate(sets):
        left = 0.0
        for color in sorted(shown.profile.palette, key=lambda c: to_lab(np.array(c.rgb, np.uint8))[0]):
            red, green, blue = (level / 255 for level in color.rgb)
            axes.barh(row, color.share, left=left, height=0.84, color=(red, green, blue))
            left += color.share
    axes.set_yticks(range(len(sets)), [f"{shown.label} ({shown.profile.n:,})" for shown in sets])
    axes.set_xlim(0, 1)
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=10)
    axes.set_title("Palettes: widths are the shares of the colors", loc="left", fontsize=10, color=_INK)


def _scalars(axes: Any, title: str, name: str, sets: Sequence[_Shown]) -> None:
    for row, shown in enumerate(sets):
        statistic: Statistic = getattr(shown.profile, name)
        axes.errorbar(statistic.mean, row, xerr=statistic.deviation, fmt="o", color=shown.color, lw=1.4, ms=6)
    axes.set_yticks(range(len(sets)), [shown.label for shown in sets])
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", color="#ddd", linewidth=0.6)
    _plain(axes, title)


def _curves(axes: Any, title: str, name: str, ticks: Sequence[str], sets: Sequence[_Shown]) -> None:
    for shown in sets:
        label = f" {shown.label}"  # a legend omits labels that begin with an underscore
        axes.plot(range(len(ticks)), getattr(shown.profile, name), "o-", color=shown.color, lw=1.6, ms=4, label=label)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#ddd", linewidth=0.6)
    _plain(axes, title)


def _plain(axes: Any, title: str) -> None:
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_FAINT, labelsize=9)
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
