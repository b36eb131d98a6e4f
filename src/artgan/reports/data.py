"""The page of ``artgan data explore``."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan.data.explore import Exploration, Statistics, Thumbnail
from artgan.data.verify import Look
from artgan.errors import PictureError
from artgan.reports.page import data_uri, figure_svg, write_page

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

_NAMES = 5  # of a finding's pictures or groups on the page


def write_report(exploration: Exploration, path: Path) -> None:
    """Write the self-contained page atomically.

    Raises:
        PictureError: the page cannot be written.
    """
    report, looks = exploration.report, [look for look in exploration.looks if look.error is None]
    findings = []
    for finding in report.findings:
        rows = finding.rows()
        findings.append((finding, rows[:_NAMES], len(rows) - _NAMES))
    odd = [
        ("Darkest", None, exploration.darkest),
        ("Brightest", None, exploration.brightest),
        ("Most unlike the mean picture", None, exploration.unlike),
        ("Oval and round canvases", *exploration.ovals),
        ("Bordered pictures", *exploration.bordered),
    ]
    try:
        write_page(
            path,
            "data.html",
            report=report,
            findings=findings,
            readable=len(looks),
            formats=_counts(look.format for look in looks),
            modes=_counts(_mode(look) for look in looks),
            total_size=_bytes(sum(look.file_size for look in exploration.looks)),
            side=exploration.statistics.mean.shape[0],
            plots=_plots(exploration, looks),
            statistics=_rows(exploration.statistics),
            near=[_shown(group) for group in exploration.near],
            sheet=_shown(exploration.sheet),
            odd=[(title, count, _shown(thumbnails)) for title, count, thumbnails in odd],
        )
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error})") from None


def _counts(values: Any) -> list[tuple[str, int]]:
    return Counter(values).most_common()


def _mode(look: Look) -> str:
    return look.mode + (", over 8 bits" if look.deep else "") + (", transparent" if look.transparent else "")


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


# ---- pictures


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return data_uri(buffer.getvalue(), "image/jpeg")


def _shown(thumbnails: Sequence[Thumbnail]) -> list[tuple[str, str]]:
    return [(thumbnail.name, _jpeg(thumbnail.image)) for thumbnail in thumbnails]


def _rows(statistics: Statistics) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """For each statistic, its name, the value of white, and its pictures in RGB and by channel."""
    rows = []
    for name, values in (
        ("Minimum", statistics.minimum),
        ("Maximum", statistics.maximum),
        ("Mean", statistics.mean),
        ("Variance", statistics.variance),
        ("Standard deviation", statistics.deviation),
    ):
        spread = name in ("Variance", "Standard deviation")
        white = float(values.max()) or 1.0 if spread else 255.0
        levels = np.rint(values * (255 / white)).astype(np.uint8)
        pictures = [("RGB", levels)] + [(c, levels[:, :, i]) for i, c in enumerate(("red", "green", "blue"))]
        note = f"white is {white:,.0f}" if spread else ""
        rows.append((name, note, [(label, _jpeg(Image.fromarray(pixels))) for label, pixels in pictures]))
    return rows


# ---- plots

_INK, _FAINT, _ACCENT = "#222222", "#6b6b6b", "#2a5d8f"
_RGB = ("#c0392b", "#2e8b57", "#2a5d8f")


def _plots(exploration: Exploration, looks: Sequence[Look]) -> list[tuple[str, Markup]]:
    sizes = np.array([look.size for look in looks])
    return [
        ("File sizes", _histogram(np.array([look.file_size for look in looks]) / 1000, "KB")),
        ("Width and height", _scatter(sizes)),
        ("Aspect", _histogram(sizes[:, 0] / sizes[:, 1], "width / height")),
        ("Brightness", _levels({"brightness": (exploration.brightness, _INK)}, "luma")),
        (
            "Colors",
            _levels(
                dict(zip(("red", "green", "blue"), zip(exploration.colors, _RGB, strict=True), strict=True)), "level"
            ),
        ),
    ]


def _figure() -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 2.8))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_FAINT, labelsize=9)
    return figure, axes


def _histogram(values: NDArray[np.float64], label: str) -> Markup:
    figure, axes = _figure()
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:  # a single narrow bar, not one as wide as the plot
        low, high = low * 0.9 - 0.01, high * 1.1 + 0.01
    axes.hist(values, bins=40, range=(low, high), color=_ACCENT)
    axes.set_xlabel(label)
    axes.set_ylabel("pictures")
    return figure_svg(figure)


def _scatter(sizes: NDArray[np.int64]) -> Markup:
    """A disc for each size, with an area that grows with the number of pictures."""
    figure, axes = _figure()
    unique, counts = np.unique(sizes, axis=0, return_counts=True)
    axes.scatter(unique[:, 0], unique[:, 1], s=12 + 240 * counts / counts.max(), color=_ACCENT, alpha=0.5, lw=0)
    if len(unique) == 1:
        width, height = unique[0]
        axes.annotate(f"{width} x {height}", unique[0], (0, 14), textcoords="offset points", ha="center")
    axes.set_xlim(0, sizes[:, 0].max() * 1.15)
    axes.set_ylim(0, sizes[:, 1].max() * 1.25)
    axes.set_xlabel("width in pixels")
    axes.set_ylabel("height in pixels")
    return figure_svg(figure)


def _levels(curves: dict[str, tuple[NDArray[np.int64], str]], label: str) -> Markup:
    figure, axes = _figure()
    top = 0.0  # ignoring pure black and white, which can dominate
    for name, (counts, color) in curves.items():
        share = 100 * counts / counts.sum()
        axes.fill_between(np.arange(256), share, step="mid", color=color, alpha=0.25, lw=0)
        top = max(top, float(share[1:-1].max()))
        axes.step(np.arange(256), share, where="mid", color=color, lw=1, label=name)
    axes.set_xlim(0, 255)
    axes.set_ylim(0, 1.2 * top or 100)
    axes.set_xlabel(label)
    axes.set_ylabel("% of pixels")
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=9)
    return figure_svg(figure)
