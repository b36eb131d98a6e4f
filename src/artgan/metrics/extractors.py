"""Networks that turn a picture into the vector of numbers that scores compare."""

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
from artgan.data.crops import centre_square
from artgan.errors import ConfigError, WeightsError
from artgan.features import IMAGENET_MEAN, IMAGENET_STD, load_vgg19
from artgan.features import VGG19 as VGG19Network
from artgan.files import cache_folder, sha256
from artgan.hub import explain
from artgan.metrics import style
from artgan.models.checkpoints import read_state

_INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
_INCEPTION_HASH = "6726825d"  # what the SHA-256 of torch-fidelity's file begins with, as its name says
_TIMEOUT = 30.0  # seconds for a server to go on
_DINOV2 = "vit_large_patch14_dinov2.lvd142m"
_log = logging.getLogger(__name__)


class Extractor(nn.Module, ABC):
    """A frozen network whose features are compared.

    Attributes:
        name: one of :data:`EXTRACTORS`.
        resize: in words, what happens to a picture's size.
        weights: in words, what weights it has and where they come from.
        parts: which of a vector's numbers are what; each has an end.
    """

    name: str
    resize: str
    weights: str
    parts: Mapping[str, slice]

    @abstractmethod
    def prepare(self, picture: Image.Image) -> Tensor:
        """A picture (RGB) to 3 x h x w as :meth:`forward` wants it; pictures of one size can be stacked."""

    @abstractmethod
    def forward(self, prepared: Tensor) -> Tensor:
        """B x 3 x h x w to B x D float32."""

    def features(self, pictures: Tensor) -> Tensor:
        """N x 3 x H x W pictures in [-1, 1] to N x D on the CPU, by way of the 8 bits that a file would keep."""
        prepared = torch.stack([self.prepare(images.to_rgb(picture)) for picture in pictures])
        with torch.inference_mode():
            features: Tensor = self(prepared.to(self.device)).cpu()
        return features.clone()  # an ordinary tensor

    @property
    def width(self) -> int:
        """D."""
        return max(int(part.stop) for part in self.parts.values())

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return torch.device("cpu")

    @cached_property
    def digest(self) -> str:
        """Of all that its features depend on; the weights count as what they are, whatever their file is called."""
        digest = hashlib.sha256(json.dumps([2, self.name, self.resize]).encode())
        for name, tensor in sorted([*self.named_parameters(), *self.named_buffers()]):
            digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


class Inception(Extractor):
    """The network behind the scores called FID, KID and IS, as TensorFlow had it (Szegedy et al., 2016; 2015-12-05).

    The network is torch-fidelity's, which agrees with the original to rounding.

    Args:
        weights: torch-fidelity's file, or a safetensors file of the same names; None downloads it once.
        clean: resize with Pillow, antialiased, as clean-fid does (Parmar et al., 2022, arXiv:2104.11222), where the
            original takes four neighbours of each pixel however far it shrinks.
    """

    def __init__(self, weights: Path | None, *, clean: bool = False) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ConfigError(
                f'scores of the Inception network need torch-fidelity: pip install "artgan[metrics]" ({error})'
            ) from None
        path = weights or _fetch_inception()
        state = read_state(path)
        # torch-fidelity unpickles without restraint: it gets a file that was written here.
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
        self.weights = _of_file(path)

    def prepare(self, picture: Image.Image) -> Tensor:
        """As it is, uint8; or at 299 x 299, float, 0 to 255."""
        if not self.clean:
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        side = self.network.INPUT_IMAGE_SIZE
        bands = [  # band by band in floating point, for Pillow would round bytes; and it does not clip what overshoots
            Image.fromarray(band).resize((side, side), Image.Resampling.BICUBIC)
            for band in np.asarray(picture, np.float32).transpose(2, 0, 1)
        ]
        return torch.from_numpy(np.stack([np.asarray(band) for band in bands]).clip(0, 255))

    def forward(self, prepared: Tensor) -> Tensor:
        """The 2048 numbers of the last pooling, and the logits without bias."""
        if not self.clean:
            return torch.cat(self.network(prepared), dim=1)
        x = (prepared - 128) / 128
        *layers, last = self.network.children()  # in the order in which they run
        for layer in layers:
            x = layer(x)
        pool = x.flatten(1)
        return torch.cat([pool, pool @ last.weight.T], dim=1)


class VGG19(Extractor):
    """VGG-19 (Simonyan and Zisserman, 2015): statistics of the channels, which say a style, and the last layer's means.

    Args:
        weights: see :func:`artgan.features.load_vgg19`.
        size: side of the middle square that is looked at, in pixels.
    """

    name = "vgg19"
    _DEEP = "conv5_1"

    def __init__(self, weights: Path | None, *, size: int = 256) -> None:
        super().__init__()
        self.network, self.weights = load_vgg19_of([*style.STYLE_LAYERS, self._DEEP], weights)
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
        return images.to_tensor(centre_square(picture, self.size))

    def forward(self, prepared: Tensor) -> Tensor:
        """Means and deviations of the channels of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1, after their ReLUs."""
        return style.statistics(self.network(prepared))


class Filters(Extractor):
    """Statistics of colours and edges that no network has a part in: :func:`artgan.metrics.style.filter_statistics`.

    Args:
        size: as for :class:`VGG19`.
    """

    name = "filters"
    weights = "none"

    def __init__(self, weights: Path | None = None, *, size: int = 256) -> None:
        super().__init__()
        if weights is not None:
            raise ConfigError(f"{weights}: the extractor filters has no weights")
        self.parts = {"style": slice(0, 78)}
        self.size = size
        self.resize = f"the middle square to {size} x {size}, bicubic, antialiased (Pillow)"

    def prepare(self, picture: Image.Image) -> Tensor:
        """3 x S x S in [-1, 1]."""
        return images.to_tensor(centre_square(picture, self.size))

    def forward(self, prepared: Tensor) -> Tensor:
        """B x 78."""
        return style.filter_statistics(prepared)


class DINOv2(Extractor):
    """DINOv2's ViT-L/14 (Oquab et al., 2023), which Stein et al. (2023, arXiv:2306.04675) found nearer to people.

    Args:
        weights: a safetensors file of timm's vit_large_patch14_dinov2.lvd142m; None lets timm fetch it (1.2 GB).
    """

    name = "dinov2"
    resize = "to 224 x 224, bicubic, antialiased (Pillow)"
    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        self.network = _fetch_dinov2() if weights is None else _read_dinov2(weights)
        self.parts = {"class token": slice(0, self.network.get_parameter("cls_token").shape[-1])}
        self.weights = f"timm/{_DINOV2}" if weights is None else _of_file(weights)
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


EXTRACTORS: dict[str, Callable[[Path | None, int], Extractor]] = {
    "inception": lambda weights, size: Inception(weights),
    "inception-clean": lambda weights, size: Inception(weights, clean=True),
    "vgg19": lambda weights, size: VGG19(weights, size=size),
    "filters": lambda weights, size: Filters(weights, size=size),
    "dinov2": lambda weights, size: DINOv2(weights),
}
NETWORKS = {"inception": "inception", "inception-clean": "inception", "vgg19": "vgg19", "dinov2": "dinov2"}
"""The network of each extractor that has one: what a file of weights is given for."""


def load_extractor(
    name: str, weights: Mapping[str, Path] | None = None, *, size: int = 256, device: Any = "cpu"
) -> Extractor:
    """An extractor, ready to use.

    Args:
        name: one of :data:`EXTRACTORS`.
        weights: files by the network's name; the others come from where they are published.
        size: side of the square that is looked at, in pixels, where the network does not fix it.
        device: to run on.

    Raises:
        WeightsError: the weights cannot be fetched or read, or are another network's.
        ConfigError: a package is missing.
    """
    extractor = EXTRACTORS[name]((weights or {}).get(NETWORKS.get(name, "")), size)
    return extractor.requires_grad_(False).eval().to(device)


def load_vgg19_of(layers: Sequence[str], weights: Path | None) -> tuple[VGG19Network, str]:
    """:func:`artgan.features.load_vgg19`, and its weights in words.

    Raises:
        WeightsError: as there.
    """
    try:
        network = load_vgg19(layers, weights)
    except WeightsError as error:
        if weights is not None:
            raise
        raise WeightsError(f"{error} (--weights vgg19=FILE)") from error
    return network, "timm/vgg19.tv_in1k" if weights is None else _of_file(weights)


def _of_file(weights: Path) -> str:
    return f"{weights.name}, SHA-256 {sha256(weights)[:16]}"


def _fetch_dinov2() -> nn.Module:
    import timm

    try:
        network: nn.Module = timm.create_model(_DINOV2, pretrained=True, num_classes=0, img_size=224)
    except Exception as error:  # whatever the Hub client, its transport or the system raises
        raise WeightsError(
            f"DINOv2's weights: {explain(error)}; or give the file model.safetensors of timm/{_DINOV2} by hand "
            "(--weights dinov2=FILE)"
        ) from error
    return network


def _read_dinov2(path: Path) -> nn.Module:
    """The network with the weights of a file, which is seen to be the right one before memory is taken."""
    import timm
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    with torch.device("meta"):
        network = timm.create_model(_DINOV2, pretrained=False, num_classes=0, img_size=224)
    assert isinstance(network, VisionTransformer)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dict
        # The published positions are those of pictures of 518 x 518; timm brings them to this size.
        places = found.get("pos_embed", ())
        if len(places) == 3 and places[2] == wanted["pos_embed"][2] and math.isqrt(places[1] - 1) ** 2 == places[1] - 1:
            wanted["pos_embed"] = places
        if found != wanted:
            raise WeightsError(f"{path}: not the weights of timm's {_DINOV2}")
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
            with _patience(_TIMEOUT):
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), _INCEPTION_HASH, progress=False)
        except Exception as error:  # whatever the transport or the system raises
            raise WeightsError(
                f"the Inception network's weights cannot be fetched ({error}); fetch {URL_INCEPTION_V3} by hand and "
                "give it with --weights inception=FILE"
            ) from None
    return path


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """How long connections made meanwhile wait for an answer, where whoever makes them does not say."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
