"""The common parts of all report pages: rendering, and embedded pictures and plots."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from artgan.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render ``templates/TEMPLATE`` to ``path`` atomically. Text is escaped.

    Raises:
        OSError: the page cannot be written.
    """
    page = _environment().get_template(template).render(**values)
    with atomic_write(path) as part:
        part.write_text(page, encoding="utf-8", errors="replace")


@cache
def _environment() -> Environment:
    """The templates; kept, as a run's page is written many times."""
    return Environment(
        loader=PackageLoader("artgan.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def figure_svg(figure: Figure, *, crop: bool = True) -> Markup:
    """A matplotlib figure as an ``<svg>`` element; its text remains text.

    Args:
        figure: what is drawn.
        crop: cut margins off or add them, so that all text is shown; this takes as long as drawing it once more.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "artgan"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight" if crop else None, metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])  # matplotlib escapes what it draws


def data_uri(data: bytes, media_type: str) -> str:
    """Bytes as a ``data:`` URI, for an ``<img>``."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
