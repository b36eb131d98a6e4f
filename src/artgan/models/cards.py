"""Model cards: the README.md and the example pictures that are published with a model's folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import yaml
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from PIL import Image

from artgan.errors import ConfigError, did_you_mean

README, EXAMPLE_INPUT, EXAMPLE_OUTPUT = "README.md", "example-input.png", "example-output.png"

# The Hub's names for the tasks, and for the licenses that authors are likely to choose: it rejects unknown names.
# https://huggingface.co/docs/hub/repositories-licenses
_PIPELINES = {"image-to-image": "image-to-image", "noise-to-image": "unconditional-image-generation"}
_LICENSES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
    *("isc", "zlib", "unlicense", "wtfpl", "openrail", "creativeml-openrail-m"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
}


def checked_license(text: str) -> str:
    """A license's name, as SPDX writes it; else as the Hub does.

    Args:
        text: the name in any case; an SPDX expression will do, such as ``MIT OR Apache-2.0`` or ``LicenseRef-NAME``.

    Raises:
        ConfigError: neither knows it.
    """
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        if text.strip().lower() in _LICENSES:
            return text.strip().lower()
        hint = did_you_mean(text.strip().lower(), sorted(_LICENSES), show=str) or "for example apache-2.0 or cc-by-4.0"
        raise ConfigError(
            f"--license {text!r}: neither SPDX (spdx.org/licenses) nor the Hub has this license; {hint} "
            "For a license of your own, write LicenseRef-NAME"
        ) from None


def weights_license(card: Mapping[str, Any]) -> str | None:
    """The license of a model's weights according to its card (``license: {weights: ...}`` or a string), or None."""
    license_ = card.get("license")
    if isinstance(license_, Mapping):
        license_ = license_.get("weights")
    return license_.strip() or None if isinstance(license_, str) else None


def card_files(
    card: Mapping[str, Any],
    task: str,
    *,
    paint: Callable[[Image.Image], Image.Image] | None,
    needs_style: bool = False,
) -> dict[str, bytes]:
    """Make a model's README.md and, if the model paints, a synthetic example picture and its painting, by file name.

    Args:
        card: the model's card.
        task: the generator's task.
        paint: paints the example; None omits the two pictures.
        needs_style: whether the model paints only in a style that it is given; there is then no example to paint.

    Raises:
        PictureError: the example cannot be painted.
    """
    pictures = {}
    if paint is not None and task == "image-to-image" and not needs_style:
        picture = example_picture()
        pictures = {EXAMPLE_INPUT: _png(picture), EXAMPLE_OUTPUT: _png(paint(picture))}
    return {README: readme(card, task, needs_style, with_examples=bool(pictures)).encode(), **pictures}


def readme(card: Mapping[str, Any], task: str, needs_style: bool, *, with_examples: bool) -> str:
    """The text of a model's README.md: front matter for the Hub's search, then the information for readers."""
    name = str(card.get("name", f"A {card['plugin']} model"))
    call = 'paint("photo.jpg", style="style.jpg")' if needs_style else 'paint("photo.jpg")'
    if task == "noise-to-image":
        call = "sample(1)[0]"
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(card, task), sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        str(card.get("summary") or ""),
        f"| photo | painting |\n|---|---|\n| ![photo]({EXAMPLE_INPUT}) | ![painting]({EXAMPLE_OUTPUT}) |\n\n"
        "The photo is synthetic."
        if with_examples
        else "",
        f"A model for artgan with the plugin `{card['plugin']}`. Write this repository's name and commit:",
        f'```python\nimport artgan\n\nmodel = artgan.load("hf-hub:ORG/NAME@COMMIT")\nmodel.{call}.save("out.png")\n```',
        facts(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def facts(card: Mapping[str, Any]) -> str:
    """What a card says of license, style, configuration, training and figures, and what it does not, in Markdown."""
    parts = [
        _section("License", card.get("license")),
        _section("Style", card.get("style")),
        _section("Base", card.get("base")),
        _section("Configuration", card.get("config")),
        _section("Brushwork", card.get("brushwork")),
        _section("Training", card.get("training")),
        _metrics(card.get("metrics")),
        _unknown(card),
    ]
    return "\n\n".join(part for part in parts if part)


def _front_matter(card: Mapping[str, Any], task: str) -> dict[str, Any]:
    license_ = weights_license(card)
    named: dict[str, Any] = {}
    if license_ is not None and license_.lower() in _LICENSES:
        named = {"license": license_.lower()}
    elif license_ is not None:
        named = {"license": "other", "license_name": license_}
    return {**named, "library_name": "artgan", "pipeline_tag": _PIPELINES[task], "tags": ["art", str(card["plugin"])]}


def _section(title: str, values: Any) -> str:
    """A heading and a list of a mapping's keys and values; empty if there are none."""
    if not values:
        return ""
    rows = values.items() if isinstance(values, Mapping) else [("weights", values)]
    return f"## {title}\n\n" + "\n".join(f"- {key}: {_plain(value)}" for key, value in rows)


def _metrics(metrics: Any) -> str:
    """The measured figures, as a table."""
    if not metrics:
        return ""
    columns = list(dict.fromkeys(key for metric in metrics for key in metric))
    rows = [columns, ["---"] * len(columns), *([_plain(metric.get(key, "")) for key in columns] for metric in metrics)]
    return "## Measured\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _unknown(card: Mapping[str, Any]) -> str:
    """What a reader would look for, and the card does not tell."""
    license_ = card.get("license")
    data = license_.get("data") if isinstance(license_, Mapping) else None
    known = {
        "the license of the weights": weights_license(card),
        "what it was trained on, and how long": card.get("training"),
        "the license of the pictures that it was trained on": data,
        "measured figures, such as `artgan evaluate` gives": card.get("metrics"),
    }
    missing = [f"- {what}" for what, value in known.items() if not value]
    return "## Not stated here\n\n" + "\n".join(missing) if missing else ""


def _plain(value: Any) -> str:
    """A value on one line, escaped for use in a table cell."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(_plain, value))
    elif isinstance(value, float):
        value = f"{value:.6g}"
    return " ".join(str(value).split()).replace("|", "\\|")


def example_picture(size: int = 256) -> Image.Image:
    """A synthetic landscape: sky, sun, two ranges of hills, and water that reflects them."""
    y, x = np.mgrid[0:size, 0:size] / size
    horizon = 0.62
    height = np.where(y < horizon, y, 2 * horizon - y)  # water reflects what is above it
    picture = _blend((126, 170, 214), (244, 214, 178), np.clip(height / horizon, 0, 1))
    picture[np.hypot(x - 0.7, height - 0.3) < 0.06] = (255, 238, 190)
    for base, swing, color in ((0.5, 0.06, (120, 134, 150)), (0.56, 0.04, (74, 104, 72))):
        ridge = base + swing * (np.sin(7 * x / swing**0.2) + 0.5 * np.sin(23 * x + 40 * swing))
        picture[height > ridge] = color
    ripples = 0.72 + 0.08 * np.sin(140 * y + 6 * np.sin(9 * x))
    picture[y >= horizon] *= ripples[y >= horizon, None]
    return Image.fromarray(picture.round().astype(np.uint8))


def _blend(first: tuple[int, ...], second: tuple[int, ...], share: Any) -> Any:
    """H x W x 3: the first color where ``share`` is 0, the second where it is 1."""
    return (1 - share[..., None]) * np.array(first) + share[..., None] * np.array(second)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
