"""SN-GAN's networks against the paper's tables, and the spectral norms of a discriminator that has learned."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from artgan_sngan import plugin
from artgan_sngan.config import SIZES, SNGANConfig
from artgan_sngan.networks import ResidualBlock, build
from torch import nn
from torch.nn import functional

from artgan.config import parse
from artgan.errors import ConfigError
from artgan.interfaces import Run
from artgan.testing import PluginTests
from artgan.training.from_noise import NoiseTrainer
from artgan.training.options import TrainingOptions

SMALL = {"width": 16, "discriminator_width": 4, "noise_size": 8}


class TestSNGAN(PluginTests):
    """The kit's checks."""

    plugin = "sngan"
    config: Mapping[str, Any] = {"size": 32, **SMALL}
    training: Mapping[str, Any] = {"size": 32, "batch": 4}


class TestJoyOfPainting(PluginTests):
    """Batch norm and dropout in the discriminator."""

    plugin = "sngan"
    config: Mapping[str, Any] = {"size": 32, "architecture": "joy-of-painting", "discriminator_steps": 2, **SMALL}
    training: Mapping[str, Any] = {"size": 32, "batch": 4}


@pytest.mark.slow
@pytest.mark.parametrize("multiscale", ["progressive", "msg"])
@pytest.mark.parametrize(("architecture", "size"), [(name, size) for name, sizes in SIZES.items() for size in sizes])
def test_every_size_has_its_resolutions(architecture: str, size: int, multiscale: str) -> None:
    networks = build(SNGANConfig(size=size, architecture=architecture, multiscale=multiscale, **SMALL))
    generator, discriminator = networks.generators["pictures"], networks.discriminators["pictures"]
    pictures = generator.pictures(generator.noise(2))
    sides = [picture.shape[-1] for picture in pictures]
    assert sides == [(6 if size % 3 == 0 else 4) * 2**i for i in range(len(sides))]
    assert sides[-1] == size
    assert discriminator.judge(discriminator.shown(pictures))[0].shape == (2, 1)


@pytest.mark.exhaustive
class TestProgressive(TestSNGAN):
    """Networks that grow while the kit trains them, spectrally normalized."""

    config: Mapping[str, Any] = {**TestSNGAN.config, "multiscale": "progressive"}


@pytest.mark.exhaustive
class TestMultiscaleGradients(TestSNGAN):
    """All resolutions at once, in residual blocks."""

    config: Mapping[str, Any] = {**TestSNGAN.config, "architecture": "resnet", "multiscale": "msg"}


def blocks(network: nn.Module, x: torch.Tensor) -> list[tuple[int, ...]]:
    """The shapes of what each residual block, or each (transposed) convolution outside of one, gives."""
    shapes: list[tuple[int, ...]] = []
    kinds = (ResidualBlock, nn.Conv2d, nn.ConvTranspose2d)
    hooks = [
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
        for layer in network.layers
        if isinstance(layer, kinds)
    ]
    network.eval()(x)
    for hook in hooks:
        hook.remove()
    return shapes


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolution(before: int, after: int, kernel: int) -> int:
    return before * after * kernel**2 + after


def generator_block(before: int, after: int) -> int:
    """Two 3x3 convolutions, a 1x1 beside them, two batch norms."""
    return (
        convolution(before, after, 3)
        + convolution(after, after, 3)
        + convolution(before, after, 1)
        + 2 * before
        + 2 * after
    )


def discriminator_block(before: int, after: int, *, hidden: int | None = None, shortcut: bool = True) -> int:
    hidden = hidden or before
    beside = convolution(before, after, 1) if shortcut else 0
    return convolution(before, hidden, 3) + convolution(hidden, after, 3) + beside


# Of each table: the generator's maps and the discriminator's, up to the last convolution or sum.
TABLES = {
    ("cnn", 32): (  # table 3, Mg = 4
        (512, 4),
        [(256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 32, 32)],
        [(64, 32, 32), (64, 16, 16), (128, 16, 16), (128, 8, 8), (256, 8, 8), (256, 4, 4), (512, 4, 4)],
    ),
    ("cnn", 48): (  # table 3, Mg = 6
        (512, 6),
        [(256, 12, 12), (128, 24, 24), (64, 48, 48), (3, 48, 48)],
        [(64, 48, 48), (64, 24, 24), (128, 24, 24), (128, 12, 12), (256, 12, 12), (256, 6, 6), (512, 6, 6)],
    ),
    ("resnet", 32): (  # table 4
        (256, 4),
        [(256, 8, 8), (256, 16, 16), (256, 32, 32), (3, 32, 32)],
        [(128, 16, 16), (128, 8, 8), (128, 8, 8), (128, 8, 8)],
    ),
    ("resnet", 48): (  # table 5
        (512, 6),
        [(256, 12, 12), (128, 24, 24), (64, 48, 48), (3, 48, 48)],
        [(64, 24, 24), (128, 12, 12), (256, 6, 6), (512, 3, 3), (1024, 3, 3)],
    ),
    ("resnet", 128): (  # table 6
        (1024, 4),
        [(1024, 8, 8), (512, 16, 16), (256, 32, 32), (128, 64, 64), (64, 128, 128), (3, 128, 128)],
        [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4), (1024, 4, 4)],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size"),
    [pytest.param(*key, marks=pytest.mark.exhaustive) if key == ("resnet", 128) else key for key in TABLES],
)
def test_the_feature_maps_are_those_of_the_papers_tables(architecture: str, size: int) -> None:
    (channels, side), up, down = TABLES[architecture, size]
    networks = build(SNGANConfig(size=size, architecture=architecture))
    generator, discriminator = networks.generators["pictures"], networks.discriminators["pictures"]
    assert generator.noise_size == 128
    assert generator.shape == (channels, side, side)
    noise = generator.noise(2)
    assert blocks(generator, noise) == up
    assert blocks(discriminator, generator(noise)) == down


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "size"), TABLES)
def test_the_number_of_parameters_is_that_of_the_tables(architecture: str, size: int) -> None:
    """Counted from the tables' shapes by hand."""
    (channels, side), up, down = TABLES[architecture, size]
    dense = 128 * channels * side**2 + channels * side**2
    widths = [channels, *(shape[0] for shape in up[:-1])]
    narrow = [shape[0] for shape in down]
    if architecture == "cnn":
        ups = 2 * channels + sum(convolution(b, a, 4) + 2 * a for b, a in itertools.pairwise(widths))
        kernels = [3, 4, 3, 4, 3, 4, 3]
        downs = sum(convolution(b, a, k) for (b, a), k in zip(itertools.pairwise([3, *narrow]), kernels, strict=True))
        last = narrow[-1] * down[-1][1] ** 2 + 1
    else:
        ups = sum(generator_block(b, a) for b, a in itertools.pairwise(widths)) + 2 * widths[-1]
        halved = [0, *(i for i in range(1, len(down)) if down[i][1] < down[i - 1][1])]
        downs = discriminator_block(3, narrow[0], hidden=narrow[0])
        for index, (b, a) in enumerate(itertools.pairwise(narrow), start=1):
            downs += discriminator_block(b, a, shortcut=index in halved or a != b)
        last = narrow[-1] + 1
    networks = build(SNGANConfig(size=size, architecture=architecture))
    assert parameters(networks.generators["pictures"]) == dense + ups + convolution(widths[-1], 3, 3)
    assert parameters(networks.discriminators["pictures"]) == downs + last


@pytest.mark.parametrize(("architecture", "size"), [(a, s) for a, sizes in SIZES.items() for s in sizes])
def test_every_size_makes_pictures_of_its_size(architecture: str, size: int) -> None:
    networks = build(SNGANConfig(size=size, architecture=architecture, width=16, discriminator_width=4))
    generator = networks.generators["pictures"]
    made = generator(generator.noise(2))
    assert made.shape == (2, 3, size, size)
    assert networks.discriminators["pictures"](made)[0].shape == (2, 1)


@pytest.mark.parametrize(
    ("architecture", "usual", "kinds"),
    [
        ("cnn", "transposed", [nn.ConvTranspose2d, nn.ConvTranspose2d, nn.ConvTranspose2d, nn.Conv2d]),
        ("joy-of-painting", "nearest", [nn.Conv2d] * 4),
    ],
)
def test_upsampling_is_the_architectures_unless_it_is_chosen(
    architecture: str, usual: str, kinds: list[type[nn.Module]]
) -> None:
    def of(upsample: str | None) -> nn.Module:
        torch.manual_seed(0)
        return build(SNGANConfig(size=32, architecture=architecture, upsample=upsample, **SMALL)).generators["pictures"]

    assert [type(layer) for layer in of(None).layers if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))] == kinds
    noise = torch.randn(2, SMALL["noise_size"])
    pictures = {upsample: of(upsample)(noise) for upsample in (None, "transposed", "nearest", "resize", "bilinear")}
    assert torch.equal(pictures[None], pictures[usual])
    distinct = [pictures[upsample] for upsample in ("transposed", "nearest", "resize", "bilinear")]
    for one, other in itertools.combinations(distinct, 2):
        assert not torch.allclose(one, other)
    for upsample in ("resize", "bilinear"):
        network = of(upsample).eval()
        plain = torch.rand(1, network.shape[0], 1, 1).expand(-1, *network.shape)
        assert network.layers(plain).std((2, 3)).max() < 1e-5, "neither grid nor frame"


def test_the_dense_layer_of_the_joy_of_painting() -> None:
    for dense, units in ((1024, [1024, 1]), (10, [10, 1]), (0, [1])):
        config = SNGANConfig(size=32, architecture="joy-of-painting", dense=dense, **SMALL)
        discriminator = build(config).discriminators["pictures"]
        layers = [m for m in discriminator.modules() if isinstance(m, nn.Linear)]
        assert [layer.out_features for layer in layers] == units
        assert discriminator.judge([torch.zeros(2, 3, 32, 32)])[0].shape == (2, 1)


@pytest.mark.numerical
def test_a_residual_block_is_what_figure_9_draws() -> None:
    """Written out with plain functions, for a generator's and a discriminator's, the first one included."""
    torch.manual_seed(0)
    x = torch.randn(3, 4, 8, 8)

    def conv(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, layer.weight, layer.bias, padding=layer.padding)

    up = ResidualBlock(4, 6, "up", norm=True).eval()
    large = functional.interpolate(functional.relu(up.norm1(x)), scale_factor=2)
    inside = conv(up.conv2, functional.relu(up.norm2(conv(up.conv1, large))))
    assert torch.allclose(up(x), inside + conv(up.shortcut, functional.interpolate(x, scale_factor=2)), atol=1e-6)
    down = ResidualBlock(4, 6, "down")
    inside = conv(down.conv2, functional.relu(conv(down.conv1, functional.relu(x))))
    assert torch.allclose(down(x), functional.avg_pool2d(inside + conv(down.shortcut, x), 2), atol=1e-6)
    first = ResidualBlock(4, 6, "down", first=True)
    inside = functional.avg_pool2d(conv(first.conv2, functional.relu(conv(first.conv1, x))), 2)
    assert torch.allclose(first(x), inside + conv(first.shortcut, functional.avg_pool2d(x, 2)), atol=1e-6)
    same = ResidualBlock(4, 4)
    assert torch.allclose(
        same(x), x + conv(same.conv2, functional.relu(conv(same.conv1, functional.relu(x)))), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["cnn", pytest.param("resnet", marks=pytest.mark.exhaustive)])
@pytest.mark.numerical
def test_spectral_norms_after_100_steps(architecture: str) -> None:
    """Against the singular values themselves."""
    torch.manual_seed(0)
    config = SNGANConfig(size=32, architecture=architecture, discriminator_steps=1, **SMALL)
    networks = build(config)
    trainer = NoiseTrainer(networks, config, Run(100))
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    for step in range(100):
        trainer.step({"pictures": real}, step)
    discriminator = networks.discriminators["pictures"]
    layers = [m for m in discriminator.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) >= 8

    def norms() -> list[float]:
        return [float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) for layer in layers]

    # The paper's one iteration a step is a little behind weights that move.
    learning = norms()
    assert min(learning) > 0.99
    assert max(learning) < 1.1
    # At rest it arrives.
    with torch.no_grad():
        for _ in range(200):
            discriminator(real)
    assert max(norms()) <= 1 + 1e-3


def test_the_presets_are_what_they_say() -> None:
    def of(name: str) -> SNGANConfig:
        own = {key: value for key, value in plugin.presets[name].items() if key in SNGANConfig.__dataclass_fields__}
        return parse(SNGANConfig, own, where=name)

    paper, cifar, joy = SNGANConfig(), of("cifar10"), of("joy-of-painting")
    resize = of("resize")
    assert (resize.architecture, resize.upsample, resize.spectral_norm) == ("joy-of-painting", "bilinear", True)
    assert (paper.loss, paper.beta1, paper.beta2, paper.discriminator_steps, paper.spectral_norm) == (
        ("hinge", 0.0, 0.9, 5, True)
    )
    shared = parse(
        TrainingOptions,
        {
            k: v
            for k, v in plugin.presets["cifar10"].items()
            if k in TrainingOptions.__dataclass_fields__ and k != "size"
        },
        where="cifar10",
    )
    assert (shared.steps, shared.batch, cifar.lr, cifar.discriminator_steps) == (100_000, 64, 2e-4, 5)
    networks = build(joy)
    kinds = [type(layer) for layer in networks.discriminators["pictures"].modules()]
    assert kinds.count(nn.Dropout2d) == 4
    assert nn.BatchNorm2d in kinds
    assert not joy.spectral_norm
    dense = [m for m in networks.discriminators["pictures"].modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in dense] == [1024, 1]
    assert [layer.p for layer in networks.discriminators["pictures"].modules() if isinstance(layer, nn.Dropout2d)] == (
        [0.25] * 4
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"size": 40}, "size must be one of 32, 48, 64, 96, 128, 256 for cnn, not 40"),
        ({"size": 48, "architecture": "joy-of-painting"}, "size must be one of 32, 64, 128, 256 for joy-of-painting"),
        ({"architecture": "vit"}, "must be one of cnn, resnet, joy-of-painting"),
        ({"architecture": "resnet", "upsample": "bilinear"}, "upsample: a resnet's blocks double by nearest neighbors"),
        ({"noise": "uniform(1,0)"}, "LOW must be less than HIGH"),
    ],
)
def test_what_it_cannot_be_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(SNGANConfig, values, where="sngan")
    assert told in str(refused.value)
