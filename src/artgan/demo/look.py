"""How the page looks: one quiet theme for light and dark, of fonts that every system has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from artgan.demo.painters import Painter

_FONT = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "sans-serif")]
_MONO = [gr.themes.Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "monospace")]

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_lg,
    font=_FONT,
    font_mono=_MONO,
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_border_width="1px",
    block_label_background_fill="white",
    block_label_background_fill_dark="*neutral_900",
    block_label_text_color="*neutral_600",
    block_label_text_color_dark="*neutral_300",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_text_color="white",
)

CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")

HEAD = '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'


def painter_pictures(painters: Sequence[Painter]) -> str:
    """Style sheet rules that show, on the choice of each painter, the example as painted by it."""
    return "\n".join(
        f'#painter label:nth-of-type({number}) {{ background-image: url("/painter/{painter.name}.jpg"); }}'
        for number, painter in enumerate(painters, 1)
        if not painter.takes_style
    )
