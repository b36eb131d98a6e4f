"""Other projects' generators, written down here from their descriptions under their own names, against ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import artgan
from artgan.errors import ConfigError, WeightsError
from artgan.models.converting import Conversion, convert

# ---- the other projects' networks


class Block(nn.Module):
    """A residual block; ``name`` is what the project calls its layers."""

    def __init__(self, channels: int, name: str, dropout: bool = False) -> None:
        super().__init__()
        drop = [nn.Dropout(0.5)] if dropout else []
        first = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels), nn.ReLU()]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
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
        channels: int = 3,
        norm: Callable[[int], nn.Module] = nn.InstanceNorm2d,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), norm(width), nn.ReLU()]
        for size in (width, 2 * width):
            layers += [nn.Conv2d(size, 2 * size, 3, 1 if down == "blurred" else 2, 1), norm(2 * size), nn.ReLU()]
            layers += [Downsample(2 * size)] if down == "blurred" else []
        layers += [Block(4 * width, block, dropout) for _ in range(blocks)]
        for size in (4 * width, 2 * width):
            half = size // 2
            if up == "transposed":
                layers.append(nn.ConvTranspose2d(size, half, 3, 2, 1, output_padding=1))
            else:
                layers.append(Upsample(size) if up == "blurred" else nn.Upsample(scale_factor=2))
                layers.append(nn.Conv2d(size, half, 3, 1, 1))
            layers += [norm(half), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ConvModule(nn.Module):
    """OpenMMLab's layer: perhaps a reflection, a convolution called conv, perhaps a norm, perhaps an activation."""

    def __init__(self, conv: nn.Module, reflect: int = 0, norm: int = 0, act: nn.Module | None = None) -> None:
        super().__init__()
        self.padding_layer = nn.ReflectionPad2d(reflect) if reflect else nn.Identity()
        self.conv = conv
        self.in_ = nn.InstanceNorm2d(norm) if norm else nn.Identity()
        self.activate = act or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.in_(self.conv(self.padding_layer(x))))


class MMBlock(nn.Module):
    def __init__(self, channels: int, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvModule(nn.Conv2d(channels, channels, 3), 1, channels, nn.ReLU())]
        layers += [nn.Dropout(0.5)] if dropout else []
        self.block = nn.Sequential(*layers, ConvModule(nn.Conv2d(channels, channels, 3), 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class MMResNet(nn.Module):
    """OpenMMLab's ResnetGenerator: each ConvModule is one layer."""

    def __init__(self, width: int, blocks: int, *, dropout: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvModule(nn.Conv2d(3, width, 7), 3, width, nn.ReLU())]
        for size in (width, 2 * width):
            layers.append(ConvModule(nn.Conv2d(size, 2 * size, 3, 2, 1), 0, 2 * size, nn.ReLU()))
        layers += [MMBlock(4 * width, dropout) for _ in range(blocks)]
        for size in (4 * width, 2 * width):
            deconv = nn.ConvTranspose2d(size, size // 2, 3, 2, 1, output_padding=1)
            layers.append(ConvModule(deconv, 0, size // 2, nn.ReLU()))
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
        centred = x - x.mean((1, 2), keepdims=True)
        return scale * centred / np.sqrt((centred**2).mean((1, 2), keepdims=True) + self.epsilon) + offset

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


def test_other_norms_are_told(tmp_path: Path) -> None:
    batch = ResNet(4, 2, norm=nn.BatchNorm2d).state_dict()
    affine = ResNet(4, 2, norm=lambda channels: nn.InstanceNorm2d(channels, affine=True)).state_dict()
    for state in (batch, affine):
        told = refusal(tmp_path, state)
        assert "looks like cyclegan, but with model.2.weight, which belongs to none of its layers" in told
        assert "learned norms and batch norms are not converted" in told


def test_statistics_are_dropped_of_the_authors_files_alone(tmp_path: Path) -> None:
    tracked = ResNet(4, 2, up="nearest", block="block", norm=lambda c: nn.InstanceNorm2d(c, track_running_stats=True))
    assert "looks like pytorch-gan, but with model." in refusal(tmp_path, tracked.state_dict())


def test_pictures_that_are_not_rgb_are_told(tmp_path: Path) -> None:
    assert "for pictures of 1 channels in and 1 out" in refusal(tmp_path, ResNet(4, 2, channels=1).state_dict())


def test_convolutions_without_bias_are_told(tmp_path: Path) -> None:
    state = {key: value for key, value in ResNet(4, 2).state_dict().items() if key != "model.1.bias"}
    assert "some convolutions have no bias" in refusal(tmp_path, state)


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


@pytest.mark.parametrize("change", ["a block", "a layer", "a gap", "a convolution", "huge numbers", "no filters"])
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
    elif change == "no filters":  # what doubles could be CUT's blur or nearest neighbours
        state = {k: v for k, v in ResNet(4, 3, up="blurred").state_dict().items() if not k.endswith("filt")}
    else:
        state["model.99.weight"] = torch.zeros(3, 4, 7, 7)
    assert "of no layout that is known; the first of" in refusal(tmp_path, state)


def test_our_own_resize_convolutions_are_not_taken_for_transposed_ones(tmp_path: Path) -> None:
    monet = artgan.load("monet").generator.state_dict()
    assert "of no layout that is known" in refusal(tmp_path, monet)


def test_an_unknown_layout_is_told_with_its_names_and_the_known_ones(tmp_path: Path) -> None:
    told = refusal(tmp_path, {f"encoder.{index}.weight": torch.zeros(2, 2) for index in range(9)})
    assert "the first of 9 are encoder.0.weight, encoder.1.weight" in told
    for layout in ("cyclegan", "cut", "pytorch-gan", "mmgeneration", "tensorflow"):
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


def artgan_convert(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "artgan", "convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


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
