"""Other projects' generators, written down here from their descriptions under their own names, against ours."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from support import processes
from torch import Tensor, nn

import artgan
from artgan.errors import ConfigError, WeightsError
from artgan.models.converting import Conversion, convert

# ---- the other projects' networks


class Block(nn.Module):
    """A residual block; ``name`` is what the project calls its layers."""

    def __init__(
        self,
        channels: int,
        name: str,
        dropout: bool = False,
        norm: Callable[[int], nn.Module] = nn.InstanceNorm2d,
        bias: bool = True,
    ) -> None:
        super().__init__()
        drop = [nn.Dropout(0.5)] if dropout else []
        first = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU()]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels)]
        self.name = name
        self.add_module(name, nn.Sequential(*first, *drop, *second))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.get_submodule(self.name)(x)


class Downsample(nn.Module):
    """CUT's: a blur by a stored filter, each channel alone, then every other pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("filt", torch.outer(taps, taps).div(16).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.filt, stride=2, groups=len(self.filt))


class Upsample(nn.Module):
    """CUT's: a transposed convolution of the replicated picture, of which the edges are cut off."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("filt", torch.outer(taps, taps).div(16).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), "replicate")
        doubled = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=len(self.filt))
        return doubled[:, :, 1:-1, 1:-1]


class ResNet(nn.Module):
    """The generator as the authors, CUT and PyTorch-GAN number its layers."""

    def __init__(
        self,
        width: int,
        blocks: int,
        *,
        block: str = "conv_block",
        dropout: bool = False,
        down: str = "strided",
        up: str = "transposed",
        channels: tuple[int, int] = (3, 3),
        norm: Callable[[int], nn.Module] = nn.InstanceNorm2d,
        bias: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels[0], width, 7, bias=bias), norm(width)]
        layers += [nn.ReLU()]
        for size in (width, 2 * width):
            layers.append(nn.Conv2d(size, 2 * size, 3, 1 if down == "blurred" else 2, 1, bias=bias))
            layers += [norm(2 * size), nn.ReLU()]
            layers += [Downsample(2 * size)] if down == "blurred" else []
        layers += [Block(4 * width, block, dropout, norm, bias) for _ in range(blocks)]
        for size in (4 * width, 2 * width):
            half = size // 2
            if up == "transposed":
                layers.append(nn.ConvTranspose2d(size, half, 3, 2, 1, output_padding=1, bias=bias))
            elif up in ("bilinear, reflected", "nearest, reflected"):
                layers += [nn.Upsample(scale_factor=2, mode=up.split(",")[0]), nn.ReflectionPad2d(1)]
                layers.append(nn.Conv2d(size, half, 3, bias=bias))
            else:
                mode = "bilinear" if up == "bilinear, zeros" else "nearest"
                layers.append(Upsample(size) if up == "blurred" else nn.Upsample(scale_factor=2, mode=mode))
                layers.append(nn.Conv2d(size, half, 3, 1, 1, bias=bias))
            layers += [norm(half), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels[1], 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class TransformerNet(nn.Module):
    """PyTorch's example of fast neural style, with its names: from 0..255 to about 0..255."""

    def __init__(self, width: int, blocks: int = 5, channels: int = 3) -> None:
        super().__init__()
        self.blocks = blocks

        def add(name: str, norm: str | None, before: int, after: int, kernel: int, stride: int = 1) -> None:
            layer = nn.Module()
            layer.reflection_pad = nn.ReflectionPad2d(kernel // 2)
            layer.conv2d = nn.Conv2d(before, after, kernel, stride)
            parent, _, own = name.rpartition(".")
            if parent and not hasattr(self, parent):
                self.add_module(parent, nn.Module())
            self.get_submodule(parent).add_module(own, layer)
            if norm is not None:
                self.get_submodule(parent).add_module(norm, nn.InstanceNorm2d(after, affine=True))

        add("conv1", "in1", channels, width, 9)
        add("conv2", "in2", width, 2 * width, 3, 2)
        add("conv3", "in3", 2 * width, 4 * width, 3, 2)
        for number in range(1, blocks + 1):
            for half in (1, 2):
                add(f"res{number}.conv{half}", f"in{half}", 4 * width, 4 * width, 3)
        add("deconv1", "in4", 4 * width, 2 * width, 3)
        add("deconv2", "in5", 2 * width, width, 3)
        add("deconv3", None, width, channels, 9)

    def forward(self, x: Tensor) -> Tensor:
        def conv(name: str, x: Tensor) -> Tensor:
            layer = self.get_submodule(name)
            return layer.conv2d(layer.reflection_pad(x))

        def norm(name: str, x: Tensor) -> Tensor:
            return self.get_submodule(name)(x)

        for number in (1, 2, 3):
            x = norm(f"in{number}", conv(f"conv{number}", x)).relu()
        for number in range(1, self.blocks + 1):
            inner = norm(f"res{number}.in1", conv(f"res{number}.conv1", x)).relu()
            x = x + norm(f"res{number}.in2", conv(f"res{number}.conv2", inner))
        for number in (1, 2):
            x = F.interpolate(x, mode="nearest", scale_factor=2)
            x = norm(f"in{number + 3}", conv(f"deconv{number}", x)).relu()
        return conv("deconv3", x)


class ConvModule(nn.Module):
    """OpenMMLab's layer: perhaps a reflection, a convolution called conv, perhaps a norm, perhaps an activation."""

    def __init__(
        self, conv: nn.Module, reflect: int = 0, norm: int = 0, act: nn.Module | None = None, batch: bool = False
    ) -> None:
        super().__init__()
        self.padding_layer = nn.ReflectionPad2d(reflect) if reflect else nn.Identity()
        self.conv = conv
        self.norm_name = "bn" if batch else "in"
        kind = nn.BatchNorm2d if batch else nn.InstanceNorm2d
        self.add_module(self.norm_name, kind(norm) if norm else nn.Identity())
        self.activate = act or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.get_submodule(self.norm_name)(self.conv(self.padding_layer(x))))


class MMBlock(nn.Module):
    def __init__(self, channels: int, dropout: bool, batch: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvModule(nn.Conv2d(channels, channels, 3), 1, channels, nn.ReLU(), batch)]
        layers += [nn.Dropout(0.5)] if dropout else []
        self.block = nn.Sequential(*layers, ConvModule(nn.Conv2d(channels, channels, 3), 1, channels, None, batch))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class MMResNet(nn.Module):
    """OpenMMLab's ResnetGenerator: each ConvModule is one layer."""

    def __init__(self, width: int, blocks: int, *, dropout: bool = False, batch: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvModule(nn.Conv2d(3, width, 7), 3, width, nn.ReLU(), batch)]
        for size in (width, 2 * width):
            layers.append(ConvModule(nn.Conv2d(size, 2 * size, 3, 2, 1), 0, 2 * size, nn.ReLU(), batch))
        layers += [MMBlock(4 * width, dropout, batch) for _ in range(blocks)]
        for size in (4 * width, 2 * width):
            deconv = nn.ConvTranspose2d(size, size // 2, 3, 2, 1, output_padding=1)
            layers.append(ConvModule(deconv, 0, size // 2, nn.ReLU(), batch))
        layers.append(ConvModule(nn.Conv2d(width, 3, 7), 3, 0, nn.Tanh()))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Keras:
    """The U-Net of TensorFlow's tutorial in NumPy: N x H x W x C, kernels as Keras keeps them, "same" padding."""

    def __init__(self, width: int, norm: tuple[str, str, float] = ("scale", "offset", 1e-5)) -> None:
        self.epsilon = norm[2]
        self.weights: dict[str, np.ndarray[Any, Any]] = {}  # in the order of model.weights
        random = np.random.default_rng(0)
        wide = [width * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)]

        def add(layer: str, kernel: tuple[int, int], channels: int | None) -> None:
            # Small, so that the norms' epsilon matters.
            self.weights[f"{layer}/kernel:0"] = random.normal(0, 0.02, (4, 4, *kernel))
            if channels is not None:
                self.weights[f"{layer}/norm/{norm[0]}:0"] = random.normal(1, 0.3, channels)
                self.weights[f"{layer}/norm/{norm[1]}:0"] = random.normal(0, 0.3, channels)

        for level, channels in enumerate(wide):
            add(f"down_{level}", (wide[level - 1] if level else 3, channels), channels if level else None)
        below = wide[-1]
        for level, channels in enumerate(wide[-2::-1]):
            add(f"up_{level}", (channels, below), channels)
            below = 2 * channels
        self.weights["last/kernel:0"] = random.normal(0, 0.2, (4, 4, 3, below))
        self.weights["last/bias:0"] = random.normal(0, 0.2, 3)

    @staticmethod
    def padding(size: int) -> tuple[int, int]:
        """Before and after, for a kernel of 4 and a stride of 2: what is odd goes behind."""
        total = max((-(-size // 2) - 1) * 2 + 4 - size, 0)
        return total // 2, total - total // 2

    def conv(self, x: np.ndarray[Any, Any], kernel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        _, height, width, _ = x.shape
        x = np.pad(x, ((0, 0), self.padding(height), self.padding(width), (0, 0)))
        rows, columns = -(-height // 2), -(-width // 2)
        return sum(
            x[:, i : i + 2 * rows : 2, j : j + 2 * columns : 2][:, :rows, :columns] @ kernel[i, j]
            for i in range(4)
            for j in range(4)
        )

    def transposed(self, x: np.ndarray[Any, Any], kernel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The gradient of :meth:`conv` with respect to its input: each pixel is spread over 4 x 4."""
        count, rows, columns, _ = x.shape
        top, left = self.padding(2 * rows)[0], self.padding(2 * columns)[0]
        spread = np.zeros((count, 2 * rows + 2, 2 * columns + 2, kernel.shape[2]))
        for i in range(4):
            for j in range(4):
                spread[:, i : i + 2 * rows : 2, j : j + 2 * columns : 2] += x @ kernel[i, j].T
        return spread[:, top : top + 2 * rows, left : left + 2 * columns]

    def norm(self, x: np.ndarray[Any, Any], layer: str) -> np.ndarray[Any, Any]:
        scale, offset = (value for name, value in self.weights.items() if name.startswith(f"{layer}/norm"))
        centered = x - x.mean((1, 2), keepdims=True)
        return scale * centered / np.sqrt((centered**2).mean((1, 2), keepdims=True) + self.epsilon) + offset

    def __call__(self, pictures: Tensor) -> Tensor:
        x = pictures.permute(0, 2, 3, 1).double().numpy()
        seen = []
        for level in range(8):
            x = self.conv(x, self.weights[f"down_{level}/kernel:0"])
            x = self.norm(x, f"down_{level}") if level else x
            x = np.where(x > 0, x, 0.3 * x)
            seen.append(x)
        for level in range(7):
            x = self.norm(self.transposed(x, self.weights[f"up_{level}/kernel:0"]), f"up_{level}")
            x = np.concatenate([np.maximum(x, 0), seen[6 - level]], axis=3)
        x = np.tanh(self.transposed(x, self.weights["last/kernel:0"]) + self.weights["last/bias:0"])
        return torch.from_numpy(x).permute(0, 3, 1, 2)


# ---- the proof


def pictures(*size: int) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def difference(folder: Path, theirs: Callable[[Tensor], Tensor], *size: int) -> float:
    """The greatest difference between a converted model's output and the original's."""
    x = pictures(*size)
    with torch.no_grad():
        wanted, made = theirs(x), artgan.load(f"local-dir:{folder}")(x)
    assert wanted.shape == made.shape == x.shape
    assert wanted.std() > 0.05  # a constant would prove nothing
    return float((made - wanted).abs().max())


def check_painting(folder: Path) -> None:
    painting = artgan.load(f"local-dir:{folder}").paint(Image.new("RGB", (37, 23), (90, 140, 30)))
    assert painting.size == (37, 23)


RESNETS: dict[str, tuple[str, Callable[[], nn.Module], dict[str, Any]]] = {
    "the authors' of nine blocks": ("cyclegan", lambda: ResNet(6, 9), {"width": 6, "blocks": 9}),
    "the authors' of six blocks with dropout": ("cyclegan", lambda: ResNet(5, 6, dropout=True), {"blocks": 6}),
    "CUT": ("cut", lambda: ResNet(4, 9, down="blurred", up="blurred"), {"downsample": "antialiased"}),
    "CUT of six blocks with dropout": ("cut", lambda: ResNet(4, 6, dropout=True, down="blurred", up="blurred"), {}),
    "CUT --no_antialias": ("cut", lambda: ResNet(4, 4, up="blurred"), {"downsample": "strided"}),
    "CUT --no_antialias_up": ("cut", lambda: ResNet(4, 4, down="blurred"), {"upsample": "transposed"}),
    "CUT with neither": ("cyclegan", lambda: ResNet(4, 4), {}),
    "PyTorch-GAN": ("pytorch-gan", lambda: ResNet(4, 9, block="block", up="nearest"), {"upsample": "nearest"}),
    "PyTorch-GAN with transposed": ("pytorch-gan", lambda: ResNet(4, 3, block="block"), {"upsample": "transposed"}),
    "MMGeneration": ("mmgeneration", lambda: MMResNet(4, 9), {"width": 4, "blocks": 9}),
    "MMGeneration with dropout": ("mmgeneration", lambda: MMResNet(4, 6, dropout=True), {"blocks": 6}),
}


@pytest.mark.parametrize("name", RESNETS)
@pytest.mark.numerical
def test_a_resnet_paints_as_it_did(tmp_path: Path, name: str) -> None:
    layout, build, config = RESNETS[name]
    torch.manual_seed(0)
    network = build().eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "model")
    assert (done.plugin, done.layout) == ("cyclegan", layout)
    assert config.items() <= done.config.items()
    assert done.parameters == sum(parameter.numel() for parameter in network.parameters())
    for size in ((64, 64), (48, 80)):
        assert difference(tmp_path / "model", network, *size) <= 1e-5
    check_painting(tmp_path / "model")


def lived_in(network: nn.Module) -> nn.Module:
    """The network with norms as after a training: their own scales, offsets and statistics."""
    random = torch.Generator().manual_seed(3)
    for module in network.modules():
        if getattr(module, "weight", None) is not None and isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)):
            module.weight.data.uniform_(0.3, 2, generator=random)
            module.bias.data.uniform_(-0.7, 0.7, generator=random)
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.uniform_(-0.4, 0.4, generator=random)
            module.running_var.uniform_(0.2, 1.5, generator=random)
            module.num_batches_tracked.fill_(7)
    return network.eval()


def affine(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


def tracked(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


def unlearned(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, track_running_stats=True)


def _spectral(network: nn.Module, wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Each convolution wrapped, and its vectors settled by a few steps of power iteration in training."""
    for module in [*network.modules()]:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            wrap(module)
    network.train()
    for _ in range(3):
        network(pictures(16, 16))
    return network


def old_spectral(module: nn.Module) -> nn.Module:
    return nn.utils.spectral_norm(module)


def old_weight(module: nn.Module) -> nn.Module:
    return nn.utils.weight_norm(module)


NORMS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "batch": (lambda: ResNet(4, 3, norm=nn.BatchNorm2d, bias=False), {"norm": "none", "upsample": "transposed"}),
    "batch with bias": (lambda: ResNet(4, 3, norm=nn.BatchNorm2d), {"norm": "none"}),
    "batch, CUT": (
        lambda: ResNet(4, 3, norm=nn.BatchNorm2d, bias=False, down="blurred", up="blurred"),
        {"norm": "none", "downsample": "antialiased"},
    ),
    "batch, PyTorch-GAN": (lambda: ResNet(4, 3, block="block", up="nearest", norm=nn.BatchNorm2d), {"norm": "none"}),
    "batch, MMGeneration": (lambda: MMResNet(4, 3, batch=True), {"norm": "none"}),
    "affine": (lambda: ResNet(4, 3, norm=affine), {"norm": "affine"}),
    "affine with dropout": (lambda: ResNet(4, 3, norm=affine, dropout=True), {"norm": "affine"}),
    "affine, PyTorch-GAN": (lambda: ResNet(4, 3, block="block", up="nearest", norm=affine), {"norm": "affine"}),
    "affine and tracked": (lambda: ResNet(4, 3, norm=tracked), {"norm": "none"}),
    "tracked, PyTorch-GAN": (lambda: ResNet(4, 3, block="block", up="nearest", norm=unlearned), {"norm": "none"}),
    "instance without bias": (lambda: ResNet(4, 3, bias=False), {}),
    "bilinear": (lambda: ResNet(4, 3, up="bilinear, reflected"), {"upsample": "bilinear"}),
    "bilinear and batch": (
        lambda: ResNet(4, 3, up="bilinear, reflected", norm=nn.BatchNorm2d, bias=False),
        {"upsample": "bilinear", "norm": "none"},
    ),
    "spectral": (lambda: _spectral(ResNet(4, 3), old_spectral), {}),
    "spectral, parametrized": (lambda: _spectral(ResNet(4, 3), nn.utils.parametrizations.spectral_norm), {}),
    "spectral and batch": (lambda: _spectral(ResNet(4, 3, norm=nn.BatchNorm2d, bias=False), old_spectral), {}),
    "weight": (lambda: _spectral(ResNet(4, 3), old_weight), {}),
    "weight, parametrized": (lambda: _spectral(ResNet(4, 3), nn.utils.parametrizations.weight_norm), {}),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.numerical
def test_a_resnet_with_other_norms_paints_as_it_did(tmp_path: Path, name: str) -> None:
    build, config = NORMS[name]
    torch.manual_seed(0)
    network = lived_in(build())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "model")
    assert config.items() <= done.config.items()
    assert ("norm" in done.config) == ("norm" in config or "batch" in name)
    for size in ((32, 32), (48, 80)):
        assert difference(tmp_path / "model", network, *size) <= 1e-5


@pytest.mark.parametrize("channels", [(1, 1), (1, 3), (3, 1)])
@pytest.mark.numerical
def test_a_network_of_gray_pictures_sees_luma_and_paints_gray(tmp_path: Path, channels: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = ResNet(4, 3, channels=channels).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    convert(tmp_path / "net.pth", tmp_path / "model")

    def theirs(x: Tensor) -> Tensor:
        if channels[0] == 1:
            x = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
        return network(x).expand(-1, 3, -1, -1)

    assert difference(tmp_path / "model", theirs, 32, 48) <= 1e-5
    gray = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8))
    painting = np.asarray(artgan.load(f"local-dir:{tmp_path / 'model'}").paint(gray), float)
    with torch.no_grad():
        x = torch.from_numpy(np.asarray(gray)).float()[None, None] / 127.5 - 1
        wanted = network(x if channels[0] == 1 else x.expand(-1, 3, -1, -1))[0]
    wanted = ((wanted + 1) * 127.5).expand(3, -1, -1).movedim(0, -1).numpy()
    assert np.abs(painting.reshape(wanted.shape) - wanted).max() <= 0.51


def test_what_the_weights_do_not_show_is_said_and_can_be_set(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet(4, 3, up="nearest, reflected").eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "assumed")
    assert "bilinear is assumed: --set upsample=resize if it is by nearest neighbors" in done.assumed
    assert difference(tmp_path / "assumed", network, 32, 32) > 1e-2
    convert(tmp_path / "net.pth", tmp_path / "set", settings={"upsample": "resize"})
    assert difference(tmp_path / "set", network, 32, 32) <= 1e-5
    for settings, told in (({"upsample": "cubic"}, "must be one of"), ({"upsampel": "resize"}, "upsample")):
        with pytest.raises(ConfigError, match=told):
            convert(tmp_path / "net.pth", tmp_path / "other", settings=settings)
    assert not (tmp_path / "other").exists()


def painting_transformer(width: int, blocks: int, channels: int = 3) -> nn.Module:
    """A network that gives values as of pictures, some beyond their range."""
    network = lived_in(TransformerNet(width, blocks, channels))
    output = network.deconv3.conv2d
    with torch.no_grad():
        output.weight *= 90 / network(127.5 * (pictures(32, 32)[:, :channels] + 1)).std()
        output.bias += 120
    return network


@pytest.mark.slow
@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize(("width", "blocks", "channels"), [(32, 5, 3), (4, 2, 3), (4, 5, 1)])
@pytest.mark.numerical
def test_fast_neural_style_paints_as_it_did(
    tmp_path: Path, width: int, blocks: int, channels: int, statistics: bool
) -> None:
    torch.manual_seed(0)
    network = painting_transformer(width, blocks, channels)
    state = dict(network.state_dict())
    if statistics:  # as PyTorch before 0.4 saved them
        for name in [name for name in state if re.search(r"in\d\.weight$", name)]:
            state[name.replace("weight", "running_mean")] = torch.rand(state[name].shape)
            state[name.replace("weight", "running_var")] = torch.rand(state[name].shape)
    torch.save(state, tmp_path / "mosaic.pth")
    done = convert(tmp_path / "mosaic.pth", tmp_path / "model")
    assert (done.layout, done.config["architecture"]) == ("fast-neural-style", "fast-style")
    assert (done.config["width"], done.config["blocks"]) == (width, blocks)

    def theirs(x: Tensor) -> Tensor:
        if channels == 1:
            x = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
        made = network((x + 1) * 127.5)  # its code saves what it makes, clamped to 0..255
        assert made.max() > 255 or made.min() < 0
        return (made.clamp(0, 255) / 127.5 - 1).expand(-1, 3, -1, -1)

    for size in ((32, 32), (48, 80)):  # its values go through 255: by processor they differ by up to 1.6e-5
        assert difference(tmp_path / "model", theirs, *size) <= 1e-4
    check_painting(tmp_path / "model")


@pytest.mark.parametrize("name", ["affine", "batch", "bilinear", "fast-neural-style"])
@pytest.mark.numerical
def test_a_converted_network_paints_in_tiles_what_it_paints_at_once(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    network = painting_transformer(4, 2) if name == "fast-neural-style" else lived_in(NORMS[name][0]())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    convert(tmp_path / "net.pth", tmp_path / "model")
    model = artgan.load(f"local-dir:{tmp_path / 'model'}")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (180, 260, 3), np.uint8))
    whole, tiled = (np.asarray(model.paint(photo, tile=tile), int) for tile in (None, 160))
    assert whole.std() > 1
    assert np.abs(whole - tiled).max() <= 1


def test_a_changed_fast_neural_style_is_told(tmp_path: Path) -> None:
    state = TransformerNet(4).state_dict()
    without = {name: value for name, value in state.items() if name != "in3.bias"}
    assert "looks like fast-neural-style, but without in3.bias" in refusal(tmp_path, without)
    assert "looks like fast-neural-style, but with extra.weight" in refusal(tmp_path, {**state, "extra.weight": COLOR})
    four = TransformerNet(4, channels=4).state_dict()
    assert "looks like fast-neural-style, for pictures of 4 channels in and 4 out" in refusal(tmp_path, four)


COLOR = torch.ones(3)


@pytest.mark.slow
@pytest.mark.parametrize("names", ["Keras'", "none"])
@pytest.mark.parametrize("norm", [("scale", "offset", 1e-5), ("gamma", "beta", 1e-3)])
@pytest.mark.numerical
def test_a_unet_of_tensorflow_paints_as_it_did(tmp_path: Path, norm: tuple[str, str, float], names: str) -> None:
    network = Keras(3, norm)
    if names == "none":
        np.savez(tmp_path / "net.npz", *network.weights.values())  # np.savez(FILE, *model.get_weights())
    else:
        np.savez_compressed(tmp_path / "net.npz", **{n: v.astype("f4") for n, v in network.weights.items()})
    done = convert(tmp_path / "net.npz", tmp_path / "model")
    assert (done.layout, done.config["width"]) == ("tensorflow", 3)
    if names == "none" and norm[0] == "gamma":  # without names, the tutorial's own norm is taken for granted
        assert difference(tmp_path / "model", network, 256, 256) > 1e-3
        return
    assert done.config["epsilon"] == norm[2]
    for size in ((256, 256), (256, 512)):
        assert difference(tmp_path / "model", network, *size) <= 5e-5  # 4e-6; of another epsilon more than 1e-3
    check_painting(tmp_path / "model")


# ---- what files look like


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return ResNet(4, 6).eval()


def with_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As PyTorch before 0.4 saved the norms, which did not use them."""
    state = dict(state)
    norms = ["model.2", "model.5", "model.8", *(f"model.{n}.conv_block.{i}" for n in range(10, 16) for i in (2, 6))]
    for name in norms:
        state |= {f"{name}.running_mean": torch.rand(16), f"{name}.running_var": torch.rand(16)}
        state |= {f"{name}.num_batches_tracked": torch.tensor(3)}
    return state


FORMS: dict[str, Callable[[Path, dict[str, Tensor]], None]] = {
    "old.pth": lambda file, state: torch.save(state, file, _use_new_zipfile_serialization=False),
    "with_statistics.pth": lambda file, state: torch.save(with_statistics(state), file),
    "parallel.pt": lambda file, state: torch.save({f"module.{k}": v for k, v in state.items()}, file),
    "nested.pt": lambda file, state: torch.save({"epoch": 3, "netG_A": {"params": state}, "lr": [0.1]}, file),
    "training.pkl": lambda file, state: torch.save({"state_dict": {f"generator.{k}": state[k] for k in state}}, file),
    "parameters.bin": lambda file, state: torch.save({k: nn.Parameter(v) for k, v in state.items()}, file),
    "net.safetensors": lambda file, state: save_file(state, file),
    "double.pth": lambda file, state: torch.save({k: v.double() for k, v in state.items()}, file),
    "net.npz": lambda file, state: np.savez(file, **{k: v.numpy() for k, v in state.items()}),
    "misnamed.npz": lambda file, state: torch.save(state, file),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_may_have_many_forms(tmp_path: Path, network: nn.Module, form: str) -> None:
    FORMS[form](tmp_path / form, dict(network.state_dict()))
    assert convert(tmp_path / form, tmp_path / "model").layout == "cyclegan"
    assert difference(tmp_path / "model", network, 32, 48) <= 1e-5


def test_half_precision_becomes_float32(tmp_path: Path, network: nn.Module) -> None:
    half = {key: value.half() for key, value in network.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")
    convert(tmp_path / "half.pth", tmp_path / "model")
    converted = artgan.load(f"local-dir:{tmp_path / 'model'}").generator.state_dict()
    assert converted.keys() == half.keys()
    assert all(torch.equal(converted[key], half[key].float()) for key in half)


@pytest.mark.slow
def test_one_of_several_generators_is_chosen(tmp_path: Path, network: nn.Module) -> None:
    other = MMResNet(4, 2).eval()
    state = {f"generators.photo.{key}": value for key, value in MMResNet(4, 2).state_dict().items()}
    state |= {f"generators.monet.{key}": value for key, value in other.state_dict().items()}
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.Conv2d(4, 4, 4, 2, 1), nn.Conv2d(4, 1, 4, 1, 1))
    state |= {f"discriminators.monet.model.{key}": value for key, value in discriminator.state_dict().items()}
    torch.save({"meta": {"epoch": 1}, "state_dict": state}, tmp_path / "iter.pth")
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "iter.pth", tmp_path / "model")
    choices = "state_dict.generators.photo, state_dict.generators.monet"
    assert str(caught.value).endswith(f"holds 2 generators; choose one by --key: {choices}")
    with pytest.raises(WeightsError, match=r"no generator under the key 'generators.monet'; there is state_dict\."):
        convert(tmp_path / "iter.pth", tmp_path / "model", key="generators.monet")
    assert not (tmp_path / "model").exists()
    convert(tmp_path / "iter.pth", tmp_path / "model", key="state_dict.generators.monet.")
    assert difference(tmp_path / "model", other, 32, 32) <= 1e-5


def test_one_of_two_unets_is_chosen(tmp_path: Path) -> None:
    network = Keras(1)
    both = {
        f"generator_{g}/{name}": value * (1 if g == "f" else 2) for g in "gf" for name, value in network.weights.items()
    }
    np.savez(tmp_path / "net.npz", **both)
    with pytest.raises(WeightsError, match="choose one by --key: generator_g, generator_f"):
        convert(tmp_path / "net.npz", tmp_path / "model")
    convert(tmp_path / "net.npz", tmp_path / "model", key="generator_f")
    assert difference(tmp_path / "model", network, 256, 256) <= 1e-5


# ---- what is refused


def refusal(tmp_path: Path, state: Mapping[str, Any]) -> str:
    torch.save(dict(state), tmp_path / "net.pth")
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "net.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'net.pth'}: ")
    assert "\n" not in told
    return told


def patch_discriminator(blurred: bool = False) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 4, 1 if blurred else 2, 1), nn.LeakyReLU(0.2)]
    layers += [Downsample(8)] if blurred else []
    layers += [nn.Conv2d(8, 16, 4, 2, 1), nn.InstanceNorm2d(16), nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 4, 1, 1)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("blurred", [False, True])
def test_a_discriminator_is_told(tmp_path: Path, blurred: bool) -> None:
    state = {f"model.{key}": value for key, value in patch_discriminator(blurred).state_dict().items()}
    assert "these are a discriminator's weights; convert the generator's" in refusal(tmp_path, state)
    assert "netD: these are a discriminator's" in refusal(tmp_path, {"netD": state})


def test_a_discriminator_of_tensorflow_is_told(tmp_path: Path) -> None:
    kernels = [np.zeros((4, 4, *channels)) for channels in ((3, 8), (8, 16), (16, 32), (32, 64), (64, 1))]
    norms = [np.zeros(channels) for channels in (16, 16, 32, 32, 64, 64)]
    arrays = [
        kernels[0],
        kernels[1],
        *norms[:2],
        kernels[2],
        *norms[2:4],
        kernels[3],
        *norms[4:],
        kernels[4],
        np.zeros(1),
    ]
    np.savez(tmp_path / "net.npz", *arrays)
    with pytest.raises(WeightsError, match="a discriminator's weights"):
        convert(tmp_path / "net.npz", tmp_path / "model")


def test_a_unet_of_the_authors_is_told(tmp_path: Path) -> None:
    names = ("model.model.0", "model.model.1.model.1", "model.model.1.model.3.model.1", "model.model.3")
    state = {f"{name}.weight": torch.zeros(4, 3, 4, 4) for name in names}
    for prefix in ("", "module.", "netG."):
        told = refusal(tmp_path, {prefix + name: value for name, value in state.items()})
        assert "looks like a U-Net of pytorch-CycleGAN-and-pix2pix" in told
        assert "--netG resnet_9blocks" in told


def test_statistics_are_dropped_of_the_authors_files_alone(tmp_path: Path) -> None:
    network = lived_in(ResNet(4, 2, up="nearest", block="block", norm=unlearned))
    old = {name: value for name, value in network.state_dict().items() if not name.endswith("tracked")}
    assert "looks like pytorch-gan, saved by PyTorch before 0.4.1" in refusal(tmp_path, old)
    batch = lived_in(ResNet(4, 2, norm=nn.BatchNorm2d, bias=False))
    old = {name: value for name, value in batch.state_dict().items() if not name.endswith("tracked")}
    torch.save(old, tmp_path / "batch.pth")
    convert(tmp_path / "batch.pth", tmp_path / "batch")
    assert difference(tmp_path / "batch", batch, 32, 32) <= 1e-5


def test_half_a_norm_and_different_norms_are_told(tmp_path: Path) -> None:
    state = ResNet(4, 2, norm=nn.BatchNorm2d).state_dict()
    half = {name: value for name, value in state.items() if not name.endswith("running_var")}
    assert "but with half a norm: " in refusal(tmp_path, half)
    mixed = {name: value for name, value in state.items() if not name.startswith("model.2.")}
    assert "its layers differ in bias or norm" in refusal(tmp_path, mixed)
    short = {name: value[:1] if name.startswith("model.2.r") else value for name, value in state.items()}
    assert "a norm has another number of channels" in refusal(tmp_path, short)


@pytest.mark.parametrize("channels", [(4, 4), (4, 3), (3, 2), (6, 3)])
def test_pictures_that_are_neither_gray_nor_rgb_are_told(tmp_path: Path, channels: tuple[int, int]) -> None:
    told = refusal(tmp_path, ResNet(4, 2, channels=channels).state_dict())
    assert f"for pictures of {channels[0]} channels in and {channels[1]} out" in told
    assert ("transparency is kept outside" in told) == (4 in channels)


def test_one_convolution_without_bias_is_told(tmp_path: Path) -> None:
    state = {key: value for key, value in ResNet(4, 2).state_dict().items() if key != "model.1.bias"}
    assert "its layers differ in bias or norm" in refusal(tmp_path, state)


def test_other_filters_are_told(tmp_path: Path) -> None:
    state = ResNet(4, 2, down="blurred", up="blurred").state_dict()
    state["model.7.filt"] = torch.full((8, 1, 3, 3), 1 / 9)
    assert "model.7.filt is not the filter" in refusal(tmp_path, state)
    state["model.7.filt"] = torch.full((8, 1, 5, 5), 1 / 25)
    assert "model.7.filt is not the filter" in refusal(tmp_path, state)


def test_another_kernel_is_told(tmp_path: Path) -> None:
    state = {**ResNet(4, 2).state_dict(), "model.1.weight": torch.zeros(4, 3, 9, 9)}
    assert "has another shape of model.1.weight" in refusal(tmp_path, state)


def test_a_width_beyond_ours_is_told(tmp_path: Path) -> None:
    torch.save({**ResNet(4, 2).state_dict(), "model.1.weight": torch.zeros(513, 3, 7, 7)}, tmp_path / "net.pth")
    with pytest.raises(ConfigError, match="width: must be at most 512"):
        convert(tmp_path / "net.pth", tmp_path / "model")


@pytest.mark.parametrize("change", ["a block", "a layer", "a gap", "a convolution", "huge numbers"])
def test_what_only_resembles_a_resnet_is_unknown(tmp_path: Path, change: str) -> None:
    state = dict(ResNet(4, 3).state_dict())
    if change == "a block":  # of three convolutions
        state["model.10.conv_block.9.weight"] = torch.zeros(16, 16, 3, 3)
    elif change == "a layer":  # between the halvings
        state = {key.replace("model.7.", "model.9."): value for key, value in state.items()}
    elif change == "a gap":
        state = {key.replace("model.11.", "model.99."): value for key, value in state.items()}
    elif change == "huge numbers":
        state = {key.replace("model.11.", f"model.{10**100}."): value for key, value in state.items()}
    else:
        state["model.99.weight"] = torch.zeros(3, 4, 7, 7)
    assert "the weights have no known layout; the first of" in refusal(tmp_path, state)


def test_without_filters_nearest_neighbors_are_assumed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet(4, 3, up="nearest").eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "model")
    assert "nearest is assumed: --set upsample=bilinear-zeros if it is by bilinear interpolation, " in done.assumed
    assert difference(tmp_path / "model", network, 32, 32) <= 1e-5
    network = ResNet(4, 3, up="bilinear, zeros").eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    convert(tmp_path / "net.pth", tmp_path / "zeros", settings={"upsample": "bilinear-zeros"})
    assert difference(tmp_path / "zeros", network, 32, 48) <= 1e-5


def test_our_own_resize_convolutions_are_not_taken_for_transposed_ones(tmp_path: Path) -> None:
    monet = artgan.load("monet").generator.state_dict()
    assert "the weights have no known layout" in refusal(tmp_path, monet)


def test_an_unknown_layout_is_told_with_its_names_and_the_known_ones(tmp_path: Path) -> None:
    told = refusal(tmp_path, {f"encoder.{index}.weight": torch.zeros(2, 2) for index in range(9)})
    assert "the first of 9 are encoder.0.weight, encoder.1.weight" in told
    for layout in ("cyclegan", "cut", "pytorch-gan", "mmgeneration", "tensorflow", "fast-neural-style"):
        assert f"{layout} (" in told


def test_arrays_out_of_order_are_told(tmp_path: Path) -> None:
    weights = Keras(1).weights
    names = list(weights)
    at = names.index("down_1/norm/scale:0")
    names[at], names[at + 1] = names[at + 1], names[at]
    np.savez(tmp_path / "net.npz", **{name: weights[name] for name in names})
    with pytest.raises(WeightsError, match=r"down_1/norm/offset:0 is in the place of a scale; keep Keras' order"):
        convert(tmp_path / "net.npz", tmp_path / "model")


# ---- the command


def artgan_convert(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return processes.artgan("convert", *arguments)


@pytest.mark.slow
def test_the_command_converts_and_says_what_it_saw(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet(4, 6, down="blurred", up="blurred").eval()
    file, folder = tmp_path / "latest_net_G.pth", tmp_path / "deep" / "model"
    torch.save(network.state_dict(), file)
    done = artgan_convert(file, "--to", folder, "--plugin", "cyclegan", "--license", "CC-BY-4.0")
    assert (done.returncode, done.stdout) == (0, f"{folder}\n")
    assert done.stderr.startswith(f"artgan: {file} is cyclegan's layout cut (")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert difference(folder, network, 40, 64) <= 1e-5
    card = json.loads((folder / "config.json").read_text())
    assert card["license"] == {"weights": "CC-BY-4.0"}
    assert card["training"]["converted_from"] == "latest_net_G.pth"
    assert str(tmp_path) not in json.dumps(card)

    again = artgan_convert(file, "--to", folder)
    assert again.returncode == 2
    assert again.stderr == f"artgan: {folder}: is not empty; give another folder, or --overwrite\n"


def test_a_conversion_says_what_it_did(tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "model")
    assert isinstance(done, Conversion)
    assert done.folder == tmp_path / "model"
    assert "pytorch-CycleGAN-and-pix2pix" in done.about
