"""One photo's painting: from coarse to fine, watched, previewed, and kept so that it can go on after a stop."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from artgan import images
from artgan.errors import ConfigError, PictureError
from artgan.interfaces import Interrupted
from artgan.progress import progress
from artgan_gatys.colors import match_colors, with_colors_of
from artgan_gatys.config import GatysOptions, Recipe
from artgan_gatys.losses import Objective, StyleTarget, gram, guides
from artgan_gatys.networks import FeatureNetwork, trace
from artgan_gatys.optimizers import LBFGS, Adam, Optimizer
from artgan_gatys.styles import Style, fit, resize

_SMALLEST = 128  # longer side of the pyramid's coarsest scale, in pixels, at least
_HISTORY_BYTES = 512e6  # of L-BFGS's memory: 100 pairs at up to 450 px, 10 at least
_BYTES = 12  # of a pixel: three numbers in float32
_SAVE_EVERY = 60.0  # seconds between two states on the disk
_TELL_FROM = 30.0  # seconds that are worth a word beforehand

_log = logging.getLogger(__name__)


class Synthesis:
    """The work on one painting.

    Args:
        network: with the layers that the recipe names.
        name: the network's.
        photo: 1 x 3 x H x W in [-1, 1], on the device to work on.
        options: what was asked for.
        recipe: what follows from it.
        styles: none where the style has no weight.
        regions: of the photo's mask, by colour, 1 x 1 x H x W.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        name: str,
        photo: Tensor,
        options: GatysOptions,
        recipe: Recipe,
        styles: Sequence[Style],
        regions: Mapping[int, Tensor],
    ) -> None:
        self.network = network
        self.photo = photo
        self.options = options
        self.recipe = recipe
        self.styles = styles
        self.regions = {color: region.to(photo) for color, region in regions.items()}
        self.layers = recipe.layers
        self.scales = self._plan()
        self.state = State(_digest(name, photo, options, recipe))
        self.painting: Tensor | None = None  # the best so far
        self.losses: tuple[float, float, float] = (math.nan, math.nan, math.nan)  # content, style, tv
        self._told = False

    def run(self) -> Tensor:
        """The painting, 1 x 3 x H x W in [-1, 1], of the photo's size.

        Raises:
            Interrupted: by Ctrl-C, with the painting so far; the state is kept for ``resume``.
            PictureError: the photo is too small for the layers or too large for the memory.
            ConfigError: a style is too small, or lacks a region; the loss is not finite.
        """
        self._check()
        first, begun = 0, 0
        inside: dict[str, Tensor] = {}
        if self.options.resume:
            found = self.state.read()
            if found is None:
                _log.warning("there is no state of this very work to resume, so it begins anew")
            else:
                first, begun, self.painting, inside = found
        try:
            for scale in range(first, len(self.scales)):
                self._work(scale, begun, inside)
                begun, inside = 0, {}
        except KeyboardInterrupt:
            if self.painting is None:
                raise
            raise Interrupted(self._finished(self.painting)) from None
        except FloatingPointError as error:
            raise ConfigError(f"{error}; are the network's weights whole, and the losses' within reason?") from None
        self.state.remove()
        assert self.painting is not None  # there is at least one scale
        return self._finished(self.painting)

    def _plan(self) -> list[tuple[tuple[int, int], int]]:
        """Height and width of each scale, from coarse to fine, with its iterations; the last is the photo's size."""
        height, width = self.photo.shape[-2:]
        recipe = self.recipe
        longer = min(recipe.size, max(height, width))
        count = recipe.scales or 1 + max(0, math.floor(math.log2(longer / _SMALLEST)))
        plan = []
        for halvings in reversed(range(count)):
            size = fit(height, width, longer / 2**halvings)
            plan.append((size, recipe.iterations * (2 if halvings else 1)))
        if plan[-1][0] != (height, width):
            plan.append(((height, width), self.options.final_iterations))
        return plan

    def _check(self) -> None:
        """Refuse what cannot work, before any work."""
        (height, width), _ = self.scales[0]
        try:
            trace(self.network, self.layers, height, width)
        except ConfigError as error:
            raise PictureError(f"the photo: {error}; take a larger size, fewer scales or earlier layers") from None
        if self.options.preview is not None:
            images.check_writable(self.options.preview, overwrite=True)
        free = _free_memory(self.photo.device)
        for index, ((height, width), iterations) in enumerate(self.scales):
            needed = self.memory(height, width, iterations)
            if not iterations or needed <= free:
                continue
            if index == len(self.scales) - 1 and max(height, width) > self.recipe.size:
                _log.warning(
                    "a pass at the full size of %d x %d would take about %.1f GB of memory, %.1f GB are free; "
                    "the painting is only enlarged to it",
                    width, height, needed / 1e9, free / 1e9,
                )  # fmt: skip
                self.scales[index] = ((height, width), 0)
                continue
            fits = int(max(height, width) * math.sqrt(free / needed) * 0.95)
            raise PictureError(
                f"painting at {width} x {height} takes about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are "
                f"free; size {fits} would fit"
            )

    def memory(self, height: int, width: int, iterations: int) -> int:
        """About how many bytes so many iterations at that size take."""
        _, kept, largest = trace(self.network, self.layers, height, width)
        return kept + 3 * largest + (2 * min(iterations, _history(height, width)) + 6) * _BYTES * height * width

    def _start(self, height: int, width: int) -> Tensor:
        start = self.recipe.start
        if start == "content":
            return resize(self.photo, height, width)
        if start == "noise":
            source = torch.Generator().manual_seed(self.options.seed)
            noise = torch.randn(1, 3, height, width, generator=source) * 0.3
            return noise.clamp(-1, 1).to(self.photo)
        picture = images.to_tensor(images.decode(start).rgb).unsqueeze(0)
        return resize(picture, height, width).to(self.photo)

    def _work(self, scale: int, begun: int, inside: Mapping[str, Tensor]) -> None:
        """Iterate at one scale, from ``begun`` iterations on with the optimiser's state as it was then."""
        (height, width), iterations = self.scales[scale]
        before = self._start(height, width) if self.painting is None else self.painting.to(self.photo.device)
        self.painting = resize(before, height, width)
        if not iterations:
            return
        optimizer: Optimizer | None = None
        done = begun
        try:
            optimizer = self._optimizer(scale, begun, inside)
            saved = time.monotonic()
            with progress(f"{width} x {height}", iterations, done=begun) as advance:
                while done < iterations and not optimizer.stuck:
                    optimizer.step()
                    self.painting = optimizer.point
                    done += 1
                    advance("content {:.3g}, style {:.3g}, tv {:.3g}".format(*self.losses))
                    if self.options.preview is not None and done % self.options.preview_every == 0:
                        self._preview(self.options.preview)
                    if time.monotonic() - saved > _SAVE_EVERY:
                        self.state.write(scale, done, self.painting, optimizer.state_dict())
                        saved = time.monotonic()
        except KeyboardInterrupt:
            self.state.write(scale, done, self.painting, inside if optimizer is None else optimizer.state_dict())
            _log.warning(
                "interrupted after %d of %d iterations at %d x %d; the same with resume goes on from here",
                done, iterations, width, height,
            )  # fmt: skip
            raise

    def _optimizer(self, scale: int, begun: int, inside: Mapping[str, Tensor]) -> Optimizer:
        """The optimiser of one scale, at the painting so far."""
        assert self.painting is not None
        (height, width), _ = self.scales[scale]
        objective = self._objective(height, width)

        def evaluate(point: Tensor) -> tuple[float, Tensor]:
            point = point.detach().requires_grad_()
            with torch.enable_grad():
                losses = objective(point)
                (gradient,) = torch.autograd.grad(losses.total, point)
            self.losses = losses.values()
            return sum(self.losses), gradient

        began = time.perf_counter()
        optimizer: Optimizer = (
            LBFGS(evaluate, self.painting, history=_history(height, width))
            if self.options.optimizer == "lbfgs"
            else Adam(evaluate, self.painting, lr=self.options.lr)
        )
        self._tell(scale, begun, time.perf_counter() - began)
        if inside:
            optimizer.load_state_dict({key: value.to(self.photo.device) for key, value in inside.items()})
        return optimizer

    def _objective(self, height: int, width: int) -> Objective:
        """The losses at one scale."""
        recipe = self.recipe
        photo = resize(self.photo, height, width)
        with torch.no_grad():
            features = self.network(photo, self.layers)
        shapes = {layer: features[layer].shape for layer in recipe.style_layers if self.styles}
        targets: dict[str, list[StyleTarget]] = {layer: [] for layer in shapes}
        regions: Sequence[tuple[int | None, Tensor | None]] = [*self.regions.items()] or [(None, None)]
        for color, region in regions:
            grams = self._style_grams(max(height, width), color)
            fields = guides(region, shapes) if region is not None else {}
            share = float(region.mean()) if region is not None else 1.0
            for layer, target in grams.items():
                targets[layer].append(StyleTarget(target, fields.get(layer), share))
        each = recipe.layer_weights or (1 / len(recipe.style_layers),) * len(recipe.style_layers)
        return Objective(
            self.network,
            recipe.formula,
            {layer: features[layer] for layer in recipe.content_layers if recipe.content_weight},
            targets,
            dict(zip(recipe.style_layers, each, strict=True)),
            (recipe.content_weight, recipe.style_weight, recipe.tv_weight, recipe.tv1_weight),
        )

    @torch.no_grad()
    def _style_grams(self, longer: int, color: int | None) -> dict[str, Tensor]:
        """The Gram matrices of a region, the mean over all styles that have it."""
        layers = self.recipe.style_layers
        blend: dict[str, Tensor] = {}
        total = 0.0
        for style in self.styles:
            region = style.regions().get(color) if color is not None else None
            if color is not None and region is None:
                continue
            picture = style.picture().to(self.photo)
            if self.options.color == "match":
                picture = match_colors(picture, self.photo)
            height, width = fit(picture.shape[2], picture.shape[3], longer * self.options.style_scale)
            try:
                shapes, _, _ = trace(self.network, layers, height, width)
            except ConfigError as error:
                raise ConfigError(f"{style.name}, resized: {error}; raise size or style_scale") from None
            fields = guides(region.to(picture), shapes) if region is not None else {}
            features = self.network(resize(picture, height, width), layers)
            for layer in layers:
                own = style.weight * gram(features[layer], fields.get(layer))
                blend[layer] = blend[layer] + own if layer in blend else own
            total += style.weight
        if self.styles and not blend:
            raise ConfigError(f"{self.options.mask}: no style mask has its colour #{color:06x}")
        return {layer: matrix / total for layer, matrix in blend.items()}

    def _tell(self, scale: int, begun: int, seconds: float) -> None:
        """How long the rest will take, judged by one evaluation, if that is worth a word."""
        (height, width), _ = self.scales[scale]
        pixels = sum(h * w * iterations for (h, w), iterations in self.scales[scale:]) - height * width * begun
        needed = seconds * pixels / (height * width)
        if self._told or needed < _TELL_FROM:
            return
        self._told = True
        memory = max(self.memory(*size, iterations) for size, iterations in self.scales if iterations)
        _log.warning(
            "this will take about %s and %.1f GB of memory; fewer iterations, a smaller size or final_iterations=0 "
            "take less",
            f"{needed / 60:.0f} minutes" if needed > 90 else f"{needed:.0f} seconds",
            memory / 1e9,
        )

    def _preview(self, path: str) -> None:
        assert self.painting is not None
        try:
            images.encode(images.to_rgb(self._colored(self.painting)[0]), path, overwrite=True)
        except PictureError as error:
            _log.warning("no preview: %s", error)

    def _finished(self, painting: Tensor) -> Tensor:
        return self._colored(resize(painting, *self.photo.shape[-2:]))

    def _colored(self, painting: Tensor) -> Tensor:
        painting = painting.clamp(-1, 1)
        if self.options.color != "photo":
            return painting
        return with_colors_of(painting, resize(self.photo, *painting.shape[-2:]))


class State:
    """Where an interrupted synthesis stands, in the user's cache, under a name that says of which work.

    Args:
        digest: of all that decides what the work is.
    """

    def __init__(self, digest: str) -> None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.path = Path(cache, "artgan", "gatys", f"{digest}.safetensors")

    def write(self, scale: int, iteration: int, painting: Tensor, inside: Mapping[str, Tensor]) -> None:
        """Keep it, and the optimiser's state; a disk that does not take it is told, and no more."""
        beside = self.path.with_suffix(".part")
        # Copies, since a file of safetensors cannot hold one tensor under two names.
        tensors = {f"optimizer.{key}": value.clone() for key, value in inside.items()} | {"point": painting.clone()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, beside, {"artgan": json.dumps({"scale": scale, "iteration": iteration})})
            beside.replace(self.path)
        except (OSError, SafetensorError) as error:
            _log.warning("%s: cannot be written, so there will be nothing to resume (%s)", self.path, error)
        finally:
            with suppress(OSError):
                beside.unlink()

    def read(self) -> tuple[int, int, Tensor, dict[str, Tensor]] | None:
        """Scale, iterations done in it, the painting and the optimiser's state; None if there is no whole one."""
        try:
            with safe_open(self.path, "pt") as file:
                where = json.loads(file.metadata()["artgan"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
            scale, iteration, point = where["scale"], where["iteration"], tensors.pop("point")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return scale, iteration, point, {k.removeprefix("optimizer."): v for k, v in tensors.items()}

    def remove(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)


def _history(height: int, width: int) -> int:
    """How many steps L-BFGS remembers of a picture of that size: the more the better it knows the way."""
    return max(10, min(100, int(_HISTORY_BYTES / (2 * _BYTES * height * width))))


def _free_memory(device: torch.device) -> float:
    """In bytes; infinite where nobody tells."""
    if device.type == "cpu":
        return float(psutil.virtual_memory().available)
    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else math.inf


def _digest(name: str, photo: Tensor, options: GatysOptions, recipe: Recipe) -> str:
    """Of the photo, the recipe, the options, and the files that these name (by size and time)."""
    asked = asdict(options)
    for key in ("preview", "preview_every", "resume"):
        del asked[key]
    files = {}
    named = (*options.style, *options.style_mask, options.mask, options.weights, recipe.start)
    for text in filter(None, named):
        path = Path(text if Path(text).exists() else text.rpartition(":")[0] or text)
        for file in sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []:
            status = file.stat()
            files[str(file.resolve())] = (status.st_size, status.st_mtime_ns)
    told = json.dumps([name, list(photo.shape), asked, asdict(recipe), sorted(files.items())])
    return hashlib.sha256(told.encode() + photo.cpu().numpy().tobytes()).hexdigest()[:32]
