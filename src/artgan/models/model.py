"""A model that paints, whatever runs it. Does not import torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from artgan import config as configs
from artgan.discovery import load_plugin, resolve
from artgan.errors import ArtganError, ConfigError
from artgan.models.entry import STYLE
from artgan.models.folder import HUB_MODEL, document, names_a_folder
from artgan.models.hands import manner_of
from artgan.painting.brushwork import Brush
from artgan.painting.manner import Brushwork, Manner
from artgan.painting.network import Network
from artgan.painting.options import PaintOptions
from artgan.painting.painter import paint
from artgan.painting.tiles import Tiling

if TYPE_CHECKING:
    from PIL import Image

    from artgan.images import Source


_KEPT = ("name", "summary", "license", "style", "training", "metrics", "check")
"""The keys of the card that a saved model keeps, apart from plugin and config."""


class Model(ABC):
    """A generator with its weights, ready for use: an ``nn.Module`` (:class:`TorchModel`) or an :class:`ExportedModel`.

    Attributes:
        name: the full name in the registry, or the requested name.
        card: the registry entry (license, data, training, metrics, hash), or the config.json of a local folder. It
            names the plugin.
        brushwork: its brush and its palette, or None: then it paints photos as they are.
        runtime: what runs it when it paints.
        seed: of the picture that it makes from noise unless :meth:`sample` is told another: that of "NAME#SEED", or 0.
    """

    seed: int = 0
    name: str
    card: dict[str, Any]
    brushwork: Brushwork | None
    runtime: str

    load: ClassVar[Callable[..., Model]]
    """:func:`artgan.load`, set by its module, which imports this one."""

    @property
    @abstractmethod
    def task(self) -> Literal["image-to-image", "noise-to-image"]:
        """What it makes pictures from."""

    @property
    def needs_style(self) -> bool:
        """Whether it paints only in a style that it is given.

        So do models whose plugin's ``encode_style`` finds the numbers of any style, unless they are saved styles.
        """
        return False

    @property
    @abstractmethod
    def digest(self) -> str:
        """A hash of its weights, or of its exported network."""

    @abstractmethod
    def running_on(self, runtime: str | None = None) -> Network:
        """The network run by "torch", "onnxruntime" or "openvino"; by default what the model was loaded for.

        Raises:
            ConfigError: the runtime is unknown or not installed, or cannot run this model.
            ArtganError: the model does not paint pictures.
        """

    @abstractmethod
    def save_pretrained(self, path: str | Path, *, examples: bool = True) -> None:
        """Write a folder in the Hub's layout, loadable as ``local-dir:PATH`` and ready for ``artgan publish``.

        Args:
            path: the folder. It gets the weights, ``config.json``, a model card ``README.md`` and, if the model paints,
                ``example-input.png`` and ``example-output.png``.
            examples: False omits the two pictures, if painting takes long.

        Raises:
            WeightsError: the model has no weights of its own, or the folder cannot be written.
            PictureError: the example cannot be painted.
        """

    def paint(
        self,
        image: Source,
        *,
        tile: int | None = None,
        statistics: Literal["exact", "estimated"] = "exact",
        runtime: str | None = None,
        brush: str | os.PathLike[str] | Brush | None = None,
        stroke_size: float = 1.0,
        strength: float = 1.0,
        keep_colors: bool = False,
        palette: float | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> Image.Image:
        """Paint a picture, at exactly its size; see :func:`artgan.painting.paint`.

        Args:
            image: a path, a Pillow image, an array (uint8, uint16, or float in [0, 1]) H x W x 3, or a tensor
                3 x H x W in [-1, 1]. Of an animation, the first frame is painted.
            tile: tile side in pixels, without overlap; by default the picture is painted whole, or in tiles if it is
                too large for that.
            statistics: how whole-picture statistics are computed, if the network uses them and paints in tiles; see
                :class:`artgan.painting.Tiling`.
            runtime: what runs the network; see :meth:`running_on`.
            brush: lays the strokes that the network paints over: the name of a model whose brush and palette are used;
                a JSON or YAML file of :class:`artgan.painting.brushwork.Brush` parameters, or such an object; "none"
                for no strokes. By default the model's own, if it has one.
            stroke_size: a multiple of the brush's sizes, 0.5 to 3.
            strength: 0 gives the photo, 1 the artist's painting, between them a blend; up to 1.5 exaggerates what the
                network changes.
            keep_colors: whether colors stay the photo's, and only the lightness is the painting's.
            palette: how far the photo's colors are moved to the artist's before it is painted, 0 to 1; by default what
                the model's card says, 0 if there is no brush or if colors are kept.
            seed: of the strokes, 0 by default; a model with an option ``seed`` gets it too.
            options: the model's own options; see :meth:`options`.

        Raises:
            PictureError: the picture cannot be read or painted.
            ConfigError: an unknown option, an invalid value, what the model cannot do, or an unusable runtime.
            ExportError: the runtime's output differs from PyTorch's.
            ArtganError: the model makes pictures from noise.
            Interrupted: the user pressed Ctrl-C after the model had made a picture; ``made`` is a list that holds it.
        """
        given = {
            "brush": brush,
            "stroke_size": stroke_size,
            "strength": strength,
            "keep_colors": keep_colors,
            "palette": palette,
            "seed": seed,
            **options,
        }
        manner, own = self.painting(given)
        return paint(self.running_on(runtime), image, tiling=Tiling(tile, statistics), manner=manner, **own)

    def sample(self, count: int = 1, *, seed: int | None = None, noise: str | None = None) -> list[Image.Image]:
        """Generate pictures from noise, each with its own seed; see :func:`artgan.sampling.sampling.sample`.

        Args:
            count: the number of pictures, 1 or more.
            seed: the seed of the first picture, :attr:`seed` by default; it increases by one for each further one.
            noise: a distribution to use instead of the model's own, such as "uniform(-1,1)".

        Raises:
            ArtganError: the model does not generate from noise, ``noise`` is invalid, or ``count`` is less than 1.
        """
        raise ArtganError(
            f"{self.name}: makes no pictures from noise, but paints photos: artgan paint photo.jpg --model {self.name}"
        )

    @property
    def kept(self) -> dict[str, Any]:
        """What a saved model keeps of the card, apart from plugin and config."""
        return {key: self.card[key] for key in _KEPT if self.card.get(key)}

    def document(self, extra: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The content of ``config.json`` with ``extra``, and what the header of the model's file says."""
        return document(self.card["plugin"], self.card["config"], {**self.kept, **(extra or {})}, self.brushwork)

    def painting(self, given: Mapping[str, Any]) -> tuple[Manner, dict[str, Any]]:
        """Validate what :meth:`paint` takes apart from the picture, the tiles and the runtime.

        Args:
            given: values of :class:`artgan.painting.options.PaintOptions` and of the model's own options.

        Returns:
            How pictures are painted, and the keyword arguments of the generator's ``generate``.

        Raises:
            ConfigError: an unknown option, an invalid value, or what the model cannot do.
            ArtganError: the model whose brush is asked for is unusable.
        """
        shared = {field.name for field in fields(PaintOptions)}
        common = {name: value for name, value in given.items() if name in shared}
        own = {name: value for name, value in given.items() if name not in shared}
        brush = common.pop("brush", None)
        chosen = brush if isinstance(brush, Brush) else None
        if chosen is None:
            common["brush"] = brush
        options = configs.parse(PaintOptions, common, where=self.name)
        if options.seed is not None and self._options is not None and "seed" in configs.field_types(self._options):
            own["seed"] = options.seed
        return manner_of(options, self.brushwork, where=self.name, brush=chosen), self.options(own)

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validate painting options: the given values, and defaults for the plugin's other options.

        The result holds the keyword arguments of the generator's ``generate``.

        Raises:
            ConfigError: an unknown option or an invalid value.
        """
        if self.needs_style and not given.get(STYLE):
            raise ConfigError(
                f"{self.name}: give a style: a picture, or a folder of one artist's pictures (--{STYLE} PATH); "
                "or paint with a saved one: artgan styles lists them"
            )
        if self._options is not None:
            return asdict(configs.parse(self._options, given, where=self.name))
        if given:
            raise ConfigError(f"{self.name}: this model takes no options, got {', '.join(sorted(given))}")
        return {}

    @cached_property
    def _options(self) -> Any:
        """The plugin's dataclass of painting options, or None; cached, as finding a plugin takes milliseconds."""
        plugin = load_plugin(self.card["plugin"])
        return None if plugin.options is None else resolve(plugin, "options")

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Model:
        """Load what :meth:`save_pretrained` wrote: a folder, or a repository of the Hub.

        Args:
            source: a folder, as a ``Path`` or as a string that is absolute or begins with "." or "~"; or "ORG/NAME" or
                "ORG/NAME@REVISION" on the Hub, even if a folder with this name exists; or either with the prefix that
                :func:`load` accepts.
            options: those of :func:`load`.

        Raises:
            ArtganError: as for :func:`load`; or ``source`` is neither.
        """
        if isinstance(source, Path) or names_a_folder(source):
            return cls.load(f"local-dir:{source}", **options)
        if source.startswith(("local-dir:", "hf-hub:")):
            return cls.load(source, **options)
        if HUB_MODEL.fullmatch(source):
            return cls.load(f"hf-hub:{source}", **options)
        raise ArtganError(
            f"{source!r} is neither a folder nor a model of the Hub: write 'local-dir:PATH' or 'hf-hub:ORG/NAME'; "
            "for a name of the registry use artgan.load"
        )
