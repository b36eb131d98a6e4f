"""Loads a model by name: registry entry, plugin, verified weights, generator."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from artgan import config as configs
from artgan.devices import usable_device
from artgan.discovery import find_plugins, load_plugin, resolve
from artgan.errors import ArtganError, ConfigError, WeightsError
from artgan.images import Source
from artgan.interfaces import Generator
from artgan.models.building import build
from artgan.models.folder import (
    HUB_MODEL,
    names_a_folder,
    save_model,
    write_files,
)
from artgan.models.hands import manner_of, read_brushwork
from artgan.models.locating import locate
from artgan.painting.brushwork import Brush
from artgan.painting.manner import Brushwork, Manner
from artgan.painting.options import PaintOptions
from artgan.painting.painter import paint
from artgan.painting.tiles import Tiling

_CARD = ("name", "summary", "license", "training", "metrics", "check")
"""The keys of the card that a saved model keeps, apart from plugin and config."""


class Model(nn.Module):
    """A generator with its weights, ready for use.

    Attributes:
        name: the full name in the registry, or the requested name.
        generator: the network.
        card: the registry entry (license, data, training, metrics, hash), or the config.json of a local folder. It
            names the plugin.
        brushwork: its brush and its palette, or None: then it paints photos as they are.
    """

    def __init__(
        self, name: str, generator: Generator, card: Mapping[str, Any], brushwork: Brushwork | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.generator = generator
        self.card = dict(card)
        self.brushwork = brushwork
        self._runtimes: dict[tuple[str, int], Generator] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map N x 3 x H x W pictures in [-1, 1] to the same; see :meth:`artgan.interfaces.Generator.forward`."""
        return self.generator(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def paint(
        self,
        image: Source,
        *,
        tile: int | None = None,
        statistics: Literal["exact", "estimated"] = "exact",
        runtime: str = "torch",
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

    def running_on(self, runtime: str) -> Generator:
        """The generator run by "torch", "onnxruntime" or "openvino"; see :func:`artgan.runtimes.accelerate.accelerate`.

        Each runtime is started once per number of threads; only torch picks up weights that change later.

        Raises:
            ConfigError: the runtime is unknown or not installed, or the model is not on the CPU in float32.
            ExportError: the runtime's output differs from PyTorch's.
        """
        if runtime == "torch":
            return self.generator
        from artgan.runtimes.accelerate import accelerate

        chosen = (runtime, torch.get_num_threads())
        if chosen not in self._runtimes:
            built = f"{find_plugins()[self.card['plugin']]} {json.dumps(self.card['config'], sort_keys=True)}"
            self._runtimes[chosen] = accelerate(self.generator, runtime, key=built)
        return self._runtimes[chosen]

    def __getstate__(self) -> dict[str, Any]:
        """The state without the runtimes, which cannot be copied; they are started again."""
        return {**self.__dict__, "_runtimes": {}}

    @property
    def origin(self) -> dict[str, Any]:
        """What an exported file records about the model: its plugin, config and license."""
        return {key: self.card[key] for key in ("plugin", "config", "license") if key in self.card}

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

    def sample(self, count: int = 1, *, seed: int = 0, noise: str | None = None) -> list[Image.Image]:
        """Generate pictures from noise, each with its own seed; see :func:`artgan.sampling.sampling.sample`.

        Args:
            count: the number of pictures.
            seed: the seed of the first picture; it increases by one for each further one.
            noise: a distribution to use instead of the model's own, such as "uniform(-1,1)".

        Raises:
            ArtganError: the model does not generate from noise, or ``noise`` is invalid.
        """
        from artgan.sampling.sampling import sample

        return sample(self.generator, count, seed=seed, noise=noise)

    def save_pretrained(self, path: str | Path, *, examples: bool = True) -> None:
        """Write a folder in the Hub's layout, loadable as ``local-dir:PATH`` and ready for ``artgan publish``.

        Args:
            path: the folder. It gets ``model.safetensors``, ``config.json``, a model card ``README.md`` and, if the
                model paints, ``example-input.png`` and ``example-output.png``.
            examples: False omits the two pictures, if painting takes long.

        Raises:
            WeightsError: the model has no weights of its own, or the folder cannot be written.
            PictureError: the example cannot be painted.
        """
        from artgan.models.cards import card_files

        if not self.generator.state_dict():
            raise WeightsError(f"{self.name}: has no weights to save; its plugin and its config are all there is of it")
        folder = Path(path)
        card = self.card if self.brushwork is None else {**self.card, "brushwork": self.brushwork.to_card()}
        files = card_files(card, self.generator.task, paint=self.paint if examples else None)
        kept = {key: self.card[key] for key in _CARD if self.card.get(key)}
        save_model(
            folder,
            self.generator,
            plugin=self.card["plugin"],
            config=self.card["config"],
            extra=kept,
            brushwork=self.brushwork,
        )
        write_files(folder, files)

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
            return load(f"local-dir:{source}", **options)
        if source.startswith(("local-dir:", "hf-hub:")):
            return load(source, **options)
        if HUB_MODEL.fullmatch(source):
            return load(f"hf-hub:{source}", **options)
        raise ArtganError(
            f"{source!r} is neither a folder nor a model of the Hub: write 'local-dir:PATH' or 'hf-hub:ORG/NAME'; "
            "for a name of the registry use artgan.load"
        )


def load(
    name: str,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Model:
    """Load a model, in evaluation mode.

    Args:
        name: a registry name or alias ("monet"), "local-dir:PATH", or "hf-hub:ORG/REPO@REVISION".
        revision: commit, branch or tag of a model on the Hub, instead of the registry's; the registry's hash and
            metrics then do not apply, and bundled weights are not used.
        device: the model's device; the CPU by default.
        dtype: the parameters' dtype: float32 (the default), float16 or bfloat16, as a name or a torch.dtype.
        cache_dir: where files from the Hub are cached.
        local_files_only: never use the network.

    Raises:
        ModelNotFoundError: no such model.
        PluginError: its plugin is missing or broken.
        WeightsError: the weights are missing, damaged or another model's.
        ArtganError: the device or dtype is unknown or unusable.
    """
    place, precision = usable_device(device), _dtype(dtype)
    found = locate(name, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
    weights, file = (None, "") if found.weights is None else (found.weights.read(), str(found.weights.path))
    generator = build(found.plugin, found.card["config"], weights, where=f"{found.source}: config", file=file)
    brushwork = read_brushwork(found.card, weights, where=found.source)
    return Model(found.name, generator, found.card, brushwork).to(place, precision).eval()


_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    for name, found in _DTYPES.items():
        if dtype in (name, found):
            return found
    if dtype is None:
        return torch.float32
    raise ArtganError(f"dtype {dtype!r} cannot be used; there are {', '.join(_DTYPES)}")
