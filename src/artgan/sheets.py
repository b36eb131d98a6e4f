"""Contact sheets with labeled rows: a training run's samples, or one photo in many styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from artgan import images

if TYPE_CHECKING:
    from torch import Tensor

_MARGIN = 4
_INK = "black"
_PAPER = "white"


def sheet(rows: Mapping[str, Sequence[Image.Image]], *, cell: int, columns: Sequence[str] = ()) -> Image.Image:
    """Draw pictures in rows, each with a label on its left.

    Args:
        rows: label -> pictures; rows may differ in length.
        cell: side of the square that each picture is fitted into, in pixels; pictures are never enlarged.
        columns: labels above the columns.
    """
    font = ImageFont.load_default(size=max(12, cell // 12))
    labels = max((font.getlength(label) for label in rows), default=0)
    left = int(labels) + 2 * _MARGIN if labels else _MARGIN
    widest = max((len(row) for row in rows.values()), default=0)
    fitted = {label: [_fit(picture, cell) for picture in row] for label, row in rows.items()}
    heights = [max((picture.height for picture in row), default=0) for row in fitted.values()]
    top = _MARGIN + (int(font.getbbox("Ag")[3]) + _MARGIN if columns else 0)
    size = (left + widest * (cell + _MARGIN), top + sum(height + _MARGIN for height in heights))
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    for column, label in enumerate(columns):
        draw.text((left + column * (cell + _MARGIN), _MARGIN), label, fill=_INK, font=font)
    for (label, row), height in zip(fitted.items(), heights, strict=True):
        draw.text((_MARGIN, top + height // 2), label, fill=_INK, font=font, anchor="lm")
        for column, picture in enumerate(row):
            page.paste(picture, (left + column * (cell + _MARGIN), top))
        top += height + _MARGIN
    return page


def mosaic(pictures: Sequence[Image.Image], *, columns: int, cell: int) -> Image.Image:
    """Pictures in rows of ``columns`` without labels, each fitted into a square of ``cell`` pixels."""
    rows = -(-len(pictures) // columns)
    step = cell + _MARGIN
    page = Image.new("RGB", (columns * step - _MARGIN, rows * step - _MARGIN), _PAPER)
    for index, picture in enumerate(pictures):
        page.paste(_fit(picture, cell), (index % columns * step, index // columns * step))
    return page


def shrunk(picture: Image.Image, size: int) -> Image.Image:
    """A picture at the size that a sheet shows, in place: its longer side has at most ``size`` pixels."""
    picture.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=None)  # the filter sees every pixel
    return picture


def _fit(picture: Image.Image, cell: int) -> Image.Image:
    fitted = picture.convert("RGB") if "A" not in picture.getbands() else _flatten(picture)
    fitted.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    return fitted


def _flatten(picture: Image.Image) -> Image.Image:
    paper = Image.new("RGB", picture.size, _PAPER)
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper


def write_rows(rows: Mapping[str, Tensor], path: Path) -> None:
    """Write a sheet with one row for each N x 3 x H x W picture tensor, with values in [-1, 1]."""
    pictures = {label: [images.to_rgb(picture) for picture in row.float().cpu()] for label, row in rows.items()}
    cell = max(max(picture.size) for row in pictures.values() for picture in row)
    path.parent.mkdir(parents=True, exist_ok=True)
    images.encode(sheet(pictures, cell=cell), path, overwrite=True)
