"""Feature extractors: frozen networks that turn a picture into a feature vector."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from artgan import images
from artgan.data.crops import center_square
from artgan.errors import ConfigError, WeightsError
from artgan.features import DINOV2_NAME, IMAGENET_MEAN, IMAGENET_STD, VGG19, VGG19_NAME, load_vgg19, weights_file
from artgan.files import cache_folder, sha256
from artgan.metrics import style
from artgan.models.checkpoints import read_state
from artgan.settings import network_file

_INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
_INCEPTION_HASH = "6726825d"  # start of the SHA-256 of torch-fidelity's file, as in its name
_TIMEOUT = 30.0  # seconds without an answer from the server
_log = logging.getLogger(__name__)


class Extractor(nn.Module, ABC):
    """A frozen feature network.

    Attributes:
        name: one of :data:`EXTRACTORS`.
        resize: how pictures are resized, in words.
        weights: where its weights come from, in words.
        parts: named slices of the feature vector; each has an end.
    """

    name: str
    resize: str
    weights: str
    parts: Mapping[str, slice]

    @abstractmethod
    def prepare(self, picture: Image.Image) -> Tensor:
        """Turn an RGB picture into a 3 x h x w input of :meth:`forward`; inputs of one size can be stacked."""

    @abstractmethod
    def forward(self, prepared: Tensor) -> Tensor:
        """Turn B x 3 x h x w into B x D float32."""

    def features(self, pictures: Tensor) -> Tensor:
        """Extract N x D on the CPU from N x 3 x H x W pictures in [-1, 1], quantized to 8 bits as in a file."""
        prepared = torch.stack([self.prepare(images.to_rgb(picture)) for picture in pictures])
        with torch.inference_mode():
            features: Tensor = self(prepared.to(self.device)).cpu()
        return features.clone()  # an ordinary tensor

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """The shape of what :meth:`prepare` makes of a picture of this width and height; by default of any size."""
        return self._shape

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.prepare(Image.new("RGB", (64, 64))).shape)

    @property
    def width(self) -> int:
        """D."""
        return max(int(part.stop) for part in self.parts.values())

    @property
    def device(self) -> torch.device:
        """The device on which it runs."""
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return torch.device("cpu")

    @cached_property
    def digest(self) -> str:
        """A hash of everything that the features depend on, including the weights themselves, not their file name."""
        digest = hashlib.sha256(json.dumps([2, self.name, self.resize]).encode())
        for name, tensor in sorted([*self.named_parameters(), *self.named_buffers()]):
            digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


class Inception(Extractor):
    """The network of FID, KID and IS, in TensorFlow's version (Szegedy et al., 2016; 2015-12-05).

    The network is torch-fidelity's, which agrees with the original up to rounding.

    Args:
        weights: torch-fidelity's file, or a safetensors file with the same names; None: that of the user's
            settings, or it is downloaded once.
        clean: resize with Pillow, antialiased, as clean-fid does (Parmar et al., 2022, arXiv:2104.11222); the original
            interpolates between four neighboring pixels however far it shrinks.
    """

    def __init__(self, weights: Path | None, *, clean: bool = False) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ConfigError(
                f'scores of the Inception network need torch-fidelity: pip install "artgan[metrics]" ({error})'
            ) from None
        path = network_file("inception", weights) or _fetch_inception()
        state = read_state(path)
        # torch-fidelity unpickles without restriction, so we give it a file that we wrote ourselves.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        try:
            self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], buffer)
        except RuntimeError:
            raise WeightsError(f"{path}: not the weights of the Inception network of 2015-12-05") from None
        self.clean = clean
        self.parts = {"pool": slice(0, 2048), "logits": slice(2048, 3056)}
        self.name = "inception-clean" if clean else "inception"
        self.resize = "to 299 x 299, " + ("bicubic, antialiased (Pillow)" if clean else "bilinear as in TensorFlow 1")
        self.weights = _describe(path)

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """See :meth:`Extractor.shape`."""
        return super().shape(size) if self.clean else (3, size[1], size[0])

    def prepare(self, picture: Image.Image) -> Tensor:
        """The picture as it is, uint8; with ``clean`` 3 x 299 x 299, float, 0 to 255."""
        if not self.clean:
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        side = self.network.INPUT_IMAGE_SIZE
        bands = [  # band by band in floating point: Pillow would round bytes; floats may overshoot
            Image.fromarray(band).resize((side, side), Image.Resampling.BICUBIC)
            for band in np.asarray(picture, np.float32).transpose(2, 0, 1)
        ]
        return torch.from_numpy(np.stack([np.asarray(band) for band in bands]).clip(0, 255))

    def forward(self, prepared: Tensor) -> Tensor:
        """The 2048 features of the last pooling, and the logits without bias."""
        if not self.clean:
            return torch.cat(self.network(prepared), dim=1)
        x = (prepared - 128) / 128
        *layers, last = self.network.children()  # in the order in which they run
        for layer in layers:
            x = layer(x)
        pool = x.flatten(1)
        return torch.cat([pool, pool @ last.weight.T], dim=1)


class VGG19Statistics(Extractor):
    """VGG-19 (Simonyan and Zisserman, 2015): channel statistics that describe style, and the last layer's means.

    Args:
        weights: see :func:`artgan.features.weights_file`.
        size: side of the center square that the network sees, in pixels.
    """

    name = "vgg19"
    _DEEP = "conv5_1"

    def __init__(self, weights: Path | None, *, size: int = 256) -> None:
        super().__init__()
        self.network = load_metric_vgg19([*style.STYLE_LAYERS, self._DEEP], weights)
        self.weights = str(self.network.source)
        self.size = size
        self.resize = f"the middle square to {size} x {size}, bicubic, antialiased (Pillow)"
        *shallow, deep = self.network.channels
        edge = 2 * sum(shallow)
        self.parts = {
            "style": slice(0, edge),
            "deep": slice(edge, edge + 2 * deep),  # means and deviations
            "means": slice(edge, edge + deep),
        }

    def prepare(self, picture: Image.Image) -> Tensor:
        """3 x S x S in [-1, 1]."""
        return images.to_tensor(center_square(picture, self.size))

    def forward(self, prepared: Tensor) -> Tensor:
        """Means and deviations of the channels of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1, after their ReLUs."""
        return style.statistics(self.network(prepared))


class Filters(Extractor):
    """Statistics of colors and edges, without a network: :func:`artgan.metrics.style.filter_statistics`.

    Args:
        size: as for :class:`VGG19Statistics`.
    """

    name = "filters"
    weights = "none"

    def __init__(self, *, size: int = 256) -> None:
        super().__init__()
        self.parts = {"style": slice(0, 78)}
        self.size = size
        self.resize = f"the middle square to {size} x {size}, bicubic, antialiased (Pillow)"

    def prepare(self, picture: Image.Image) -> Tensor:
        """3 x S x S in [-1, 1]."""
        return images.to_tensor(center_square(picture, self.size))

    def forward(self, prepared: Tensor) -> Tensor:
        """B x 78."""
        return style.filter_statistics(prepared)


class DINOv2(Extractor):
    """DINOv2's ViT-L/14 (Oquab et al., 2023), closer to human judgment (Stein et al., 2023, arXiv:2306.04675).

    Args:
        weights: see :func:`artgan.features.weights_file`.
    """

    name = "dinov2"
    resize = "to 224 x 224, bicubic, antialiased (Pillow)"
    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        file = weights_file(DINOV2_NAME, weights)
        self.network = _read_dinov2(file)
        self.parts = {"class token": slice(0, self.network.get_parameter("cls_token").shape[-1])}
        self.weights = _describe(file)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def prepare(self, picture: Image.Image) -> Tensor:
        """3 x 224 x 224 in [-1, 1]."""
        return images.to_tensor(picture.resize((224, 224), Image.Resampling.BICUBIC))

    def forward(self, prepared: Tensor) -> Tensor:
        """The class token after the last norm, B x 1024."""
        features: Tensor = self.network(((prepared + 1) / 2 - self.mean) / self.std)
        return features


class Patches(Extractor):
    """The features of a picture's patches by another extractor, one after the other in a vector.

    The patches are squares of 64 px, on a grid over the middle square of the picture: at 256 px 4 x 4 that cover it,
    of a larger one as many that are spread over it, of a smaller one those that fit.

    Args:
        extractor: sees one patch at a time.
        part: the name of the part of its features to use; by default all of them.
        size: as for :class:`VGG19Statistics`.

    Attributes:
        count: number of patches of a picture.
    """

    _MOST = 4  # in a row

    def __init__(self, extractor: Extractor, *, part: str | None = None, size: int = 256) -> None:
        super().__init__()
        self.extractor = extractor
        self._part = slice(0, extractor.width) if part is None else extractor.parts[part]
        self._size = size
        self._side = _patch(size)
        across = min(self._MOST, size // self._side)
        self._places = [round(place) for place in np.linspace(0, size - self._side, across)]
        self.count = across**2
        self.parts = {"patches": slice(0, self.count * (self._part.stop - self._part.start))}
        self.name = f"{extractor.name}-patches"
        self.resize = (
            f"{across} x {across} patches of {self._side} x {self._side} of the middle square at {size} x {size}, "
            "bicubic, antialiased (Pillow)"
        )
        if extractor.name not in _AT_ANY_SIZE:
            self.resize += f", {extractor.resize}"
        self.weights = extractor.weights

    def prepare(self, picture: Image.Image) -> Tensor:
        """The patches, prepared by the other extractor, below each other."""
        square = center_square(picture, self._size)
        boxes = [(x, y, x + self._side, y + self._side) for y in self._places for x in self._places]
        return torch.cat([self.extractor.prepare(square.crop(box)) for box in boxes], dim=1)

    def forward(self, prepared: Tensor) -> Tensor:
        """Count times as many features as the part of the other extractor has."""
        patches = torch.cat(prepared.chunk(self.count, dim=2))
        features: Tensor = self.extractor(patches)
        return torch.cat(features[:, self._part].chunk(self.count), dim=1)


def _patch(size: int) -> int:
    """The side of the patches of squares of a size."""
    return min(64, size)


_AT_ANY_SIZE = ("vgg19", "filters")  # these see pictures at the size that the user sets


def compares_at_size(name: str) -> bool:
    """Whether an extractor sees pictures at the size that the user sets, not at its own."""
    return name in _AT_ANY_SIZE or name.endswith("-patches")


# Called with weight files by network (see artgan.settings.NETWORKS), and the size.
EXTRACTORS: dict[str, Callable[[Mapping[str, Path], int], Extractor]] = {
    "inception": lambda weights, size: Inception(weights.get("inception")),
    "inception-clean": lambda weights, size: Inception(weights.get("inception"), clean=True),
    "vgg19": lambda weights, size: VGG19Statistics(weights.get("vgg19"), size=size),
    "filters": lambda weights, size: Filters(size=size),
    "dinov2": lambda weights, size: DINOv2(weights.get("dinov2")),
    "inception-patches": lambda weights, size: Patches(Inception(weights.get("inception")), part="pool", size=size),
    "vgg19-patches": lambda weights, size: Patches(VGG19Statistics(weights.get("vgg19"), size=_patch(size)), size=size),
    "filters-patches": lambda weights, size: Patches(Filters(size=_patch(size)), size=size),
    "dinov2-patches": lambda weights, size: Patches(DINOv2(weights.get("dinov2")), size=size),
}


def load_extractor(
    name: str, weights: Mapping[str, Path] | None = None, *, size: int = 256, device: Any = "cpu"
) -> Extractor:
    """Load an extractor.

    Args:
        name: one of :data:`EXTRACTORS`.
        weights: files by network (:data:`artgan.settings.NETWORKS`); the others are those of the
            user's settings, or downloaded.
        size: side of the square that the network sees, in pixels, unless the network fixes it.
        device: to run on.

    Raises:
        WeightsError: the weights cannot be downloaded or read, or belong to another network.
        ConfigError: a package is missing.
    """
    extractor = EXTRACTORS[name](weights or {}, size)
    return extractor.requires_grad_(False).eval().to(device)


def load_metric_vgg19(layers: Sequence[str], weights: Path | None) -> VGG19:
    """:func:`artgan.features.load_vgg19`, with the file described in ``source``.

    Raises:
        WeightsError: the weights cannot be downloaded or read.
    """
    file = weights_file(VGG19_NAME, weights)
    network = load_vgg19(layers, file)
    network.source = _describe(file)
    return network


def _describe(weights: Path) -> str:
    return f"{weights.name}, SHA-256 {sha256(weights)[:16]}"


def _read_dinov2(path: Path) -> nn.Module:
    """The network with the weights from a file, whose shapes are checked before memory is allocated."""
    import timm
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    with torch.device("meta"):
        network = timm.create_model(DINOV2_NAME, pretrained=False, num_classes=0, img_size=224)
    assert isinstance(network, VisionTransformer)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dict
        # The published position embeddings are for pictures of 518 x 518; timm resamples them to this size.
        places = found.get("pos_embed", ())
        if len(places) == 3 and places[2] == wanted["pos_embed"][2] and math.isqrt(places[1] - 1) ** 2 == places[1] - 1:
            wanted["pos_embed"] = places
        if found != wanted:
            raise WeightsError(f"{path}: not the weights of timm's {DINOV2_NAME}")
        state = {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot read DINOv2's weights as safetensors ({error})") from None
    network.load_state_dict(checkpoint_filter_fn(state, network), assign=True)
    return network


def _fetch_inception() -> Path:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = cache_folder("inception") / _INCEPTION_FILE
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _log.warning("fetching the Inception network's weights (95 MB) from %s", URL_INCEPTION_V3)
            with _socket_timeout(_TIMEOUT):
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), _INCEPTION_HASH, progress=False)
        except Exception as error:  # whatever the transport or the system raises
            raise WeightsError(
                f"the Inception network's weights cannot be fetched ({error}); fetch {URL_INCEPTION_V3} by hand and "
                "give it with --inception FILE"
            ) from None
    return path


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Set the default timeout of connections."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
