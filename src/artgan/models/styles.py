"""Saved styles: models of the user's own, each a few numbers that a network paints in. Does not import torch."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from artgan.discovery import load_plugin, resolve, what_to_install
from artgan.errors import ArtganError, ConfigError, PluginError, WeightsError, did_you_mean, printable
from artgan.files import atomic_write
from artgan.images import decode
from artgan.models.entry import STYLE, Entry, Registry
from artgan.models.folder import THUMBNAIL
from artgan.models.loading import load, load_torch_model
from artgan.models.own import check_name, own_models, put_own_model, remove_own_model
from artgan.models.registry import read_registry
from artgan.painting.styles import Style, find_styles
from artgan.sheets import mosaic, sheet

if TYPE_CHECKING:
    from torch import Tensor

    from artgan.interfaces import Generator

_THUMBNAIL = 256  # pixels, its longer side
_THUMBNAIL_BYTES = 30_000
_QUALITIES = (88, 75, 60, 45, 30, 15, 5)  # of JPEG, until the thumbnail is small enough
_SHOWN = 9  # pictures of a style that its thumbnail shows


def style_model(registry: Registry) -> str:
    """The model of the registry that paints in any style in one pass; one with a short name, if there are several.

    Raises:
        ConfigError: there is none here.
    """
    found = [e for e in registry.entries.values() if e.folder is None and e.weights is not None and e.saves_styles()]
    found.sort(key=lambda entry: (entry.alias is None, entry.name))
    if not found:
        missing = what_to_install()
        raise ConfigError(
            "no model here paints in the style of any picture in one pass" + (f"; {missing}" if missing else "")
        )
    return found[0].alias or found[0].name


def save_style(
    name: str,
    pictures: Sequence[str],
    *,
    model: str | None = None,
    style_scale: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Keep the style of pictures as a model of the user's own.

    Args:
        name: of the new model.
        pictures: as the option ``style`` takes them: paths of pictures or of folders, each with a weight if need be.
        model: that paints in any style; by default :func:`style_model`.
        style_scale: the size of the style relative to the painting's; by default the model's own.
        overwrite: whether a model of the user's own with this name may be replaced.

    Returns:
        The model's folder. It holds only what differs from ``model``, if that is one of a registry.

    Raises:
        ConfigError: the name cannot be used or is taken, a picture cannot be read, or the model saves no styles.
        WeightsError: the folder cannot be written.
    """
    registry = read_registry()
    try:
        check_name(name, registry)
    except ConfigError as error:
        raise ConfigError(f"--as: {error}") from None
    if (own_models() / name).exists() and not overwrite:  # before the work begins
        raise ConfigError(f"--as: a model of your own is named {name!r} already; give another name, or --overwrite")
    styles = find_styles(pictures)
    painter = load_torch_model(model or style_model(registry))
    plugin = load_plugin(painter.card["plugin"])
    if plugin.encode_style is None:
        raise ConfigError(f"{painter.name}: this model cannot save styles, because it does not encode them in one pass")
    given: dict[str, Any] = {STYLE: tuple(pictures)}
    if style_scale is not None:
        given["style_scale"] = style_scale
    changed = resolve(plugin, "encode_style")(painter.generator, **painter.options(given))
    _take_on(painter.generator, changed, plugin.name)
    base = registry.entries.get(painter.name)
    card = {key: painter.card[key] for key in ("plugin", "config", "brushwork") if painter.card.get(key)}
    card["config"] = painter.card["config"]
    card |= {"name": name, "style": _facts(styles, style_scale)}
    if painter.card.get("base"):
        card["base"] = painter.card["base"]
    elif base is not None and base.weights is not None:
        card["base"] = {"model": base.name, "sha256": base.weights.sha256}
    painter.card = card
    picture = thumbnail(styles)

    def write(folder: Path) -> None:
        painter.save(folder)
        with atomic_write(folder / THUMBNAIL) as part:
            part.write_bytes(picture)

    folder = put_own_model(name, write, overwrite=overwrite)
    read_registry.cache_clear()
    return folder


def remove_style(name: str) -> None:
    """Remove a saved style.

    Raises:
        ConfigError: there is none of this name.
        WeightsError: its folder cannot be removed.
    """
    registry = read_registry()
    styles = {entry.name: entry for entry in registry.saved_styles}
    if name not in styles:
        if name in registry.broken:
            raise ConfigError(f"{registry.broken[name]}; remove the folder yourself")
        hint = did_you_mean(name, styles) or "artgan styles lists them"
        raise ConfigError(f"no saved style is named {name!r}; {hint}")
    remove_own_model(styles[name])
    read_registry.cache_clear()


def style_rows(
    styles: Sequence[Entry], photo: Image.Image
) -> Iterator[tuple[str, tuple[Image.Image, Image.Image] | ArtganError]]:
    """The name of each style, with its thumbnail and a photo painted in it, or why there is none."""
    for entry in styles:
        assert entry.folder is not None
        try:
            yield entry.name, (_read_thumbnail(entry.folder), load(entry.name).paint(photo))
        except ArtganError as error:
            yield entry.name, error


def style_sheet(rows: Mapping[str, Sequence[Image.Image]], photo: Image.Image, size: int) -> Image.Image:
    """A labeled sheet of styles, with the photo at its top; pictures of at most ``size`` pixels a side."""
    return sheet({"photo": [Image.new("RGB", (1, 1), "white"), photo], **rows}, cell=size, columns=("style", "painted"))


def thumbnail(styles: Sequence[Style]) -> bytes:
    """A JPEG file of at most 256 pixels a side and 30 kB, without metadata, of the first pictures of a style.

    Raises:
        ConfigError: one of them cannot be read.
    """
    pictures = [style.read() for style in styles[:_SHOWN]]
    if len(pictures) == 1:
        [made] = pictures
        made.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    else:
        columns = math.ceil(math.sqrt(len(pictures)))
        cell = _THUMBNAIL // columns - columns  # the gaps between them included
        squares = [ImageOps.fit(picture, (cell, cell), Image.Resampling.LANCZOS) for picture in pictures]
        made = mosaic(squares, columns=columns, cell=cell)
    clean = Image.new("RGB", made.size)
    clean.paste(made)
    for quality in _QUALITIES:
        file = io.BytesIO()
        clean.save(file, "JPEG", quality=quality)
        if file.tell() <= _THUMBNAIL_BYTES:
            break
    return file.getvalue()


def _read_thumbnail(folder: Path) -> Image.Image:
    path = folder / THUMBNAIL
    return decode(path).rgb if path.is_file() else Image.new("RGB", (_THUMBNAIL, _THUMBNAIL), "lightgray")


def _take_on(generator: Generator, changed: Mapping[str, Tensor], plugin: str) -> None:
    """Make what a plugin's ``encode_style`` returns part of the generator's state.

    Raises:
        PluginError: it is no part of it.
        WeightsError: it is not finite.
    """
    state = generator.state_dict()
    if not changed or any(key not in state or state[key].shape != value.shape for key, value in changed.items()):
        raise PluginError(f"plugin {plugin}: encode_style returned entries that are not in its generator's state")
    if not all(value.isfinite().all() for value in changed.values()):
        raise WeightsError("the style of these pictures is not finite; try others")
    generator.load_state_dict({**state, **changed})


def _facts(styles: Sequence[Style], style_scale: float | None) -> dict[str, Any]:
    """What a saved style's card says of it; of the pictures only the names of the files."""
    facts: dict[str, Any] = {"pictures": [printable(Path(style.name).name) for style in styles]}
    if len({style.weight for style in styles}) > 1:
        facts["weights"] = [round(style.weight, 4) for style in styles]
    if style_scale is not None:
        facts["scale"] = style_scale
    return {**facts, "saved": datetime.now(timezone.utc).isoformat(timespec="seconds")}
