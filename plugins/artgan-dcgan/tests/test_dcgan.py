"""DCGAN's networks against the paper, and its training on real pictures' terms: options, sizes, sampling."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from artgan_dcgan import plugin
from artgan_dcgan.config import DCGANConfig
from artgan_dcgan.networks import build, build_generator
from torch import nn

import artgan
from artgan.config import parse
from artgan.errors import ConfigError, WeightsError
from artgan.models.converting import convert
from artgan.sampling.noise import Noise
from artgan.testing import PluginTests
from artgan.testing.networks import DiscriminatorTests, GeneratorTests
from artgan.testing.training import TrainerTests


class TestDCGAN(PluginTests):
    """The kit's checks."""

    plugin = "dcgan"
    config: Mapping[str, Any] = {"size": 32, "width": 4, "noise_size": 8}
    training: Mapping[str, Any] = {"size": 32, "batch": 4}


class NetworkTests(TrainerTests, DiscriminatorTests, GeneratorTests):
    """The kit's checks of networks and training: what else there is does not depend on the resolutions."""

    plugin = "dcgan"
    training = TestDCGAN.training


@pytest.mark.slow
class TestProgressive(NetworkTests):
    """Networks that grow while the kit trains them."""

    config: Mapping[str, Any] = {**TestDCGAN.config, "multiscale": "progressive"}


@pytest.mark.slow
class TestMultiscaleGradients(NetworkTests):
    """All resolutions at once."""

    config: Mapping[str, Any] = {**TestDCGAN.config, "multiscale": "msg"}


def tutorial(layers: int, noise: int, width: int, channels: int, bias: bool = False) -> nn.Sequential:
    """The generator of PyTorch's DCGAN tutorial, ``main`` in it, and of its example."""
    wide = [width * 2**level for level in range(layers - 1)][::-1]
    parts: list[nn.Module] = [nn.ConvTranspose2d(noise, wide[0], 4, 1, 0, bias=bias)]
    for before, after in itertools.pairwise([*wide, channels]):
        parts += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias)]
    network = nn.Sequential(*parts, nn.Tanh())
    random = torch.Generator().manual_seed(1)
    for part in network:
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2, generator=random)
            for values in (part.bias, part.running_mean):
                nn.init.uniform_(values, -0.3, 0.3, generator=random)
            nn.init.uniform_(part.running_var, 0.5, 2, generator=random)
    return network.eval()


@pytest.mark.parametrize(
    ("layers", "channels", "bias", "prefix"),
    [(5, 3, False, "main."), (4, 3, False, "module.main."), (6, 3, True, "netG.main."), (5, 1, False, "model.")],
)
@pytest.mark.numerical
def test_a_generator_of_the_tutorial_makes_its_pictures(
    tmp_path: Path, layers: int, channels: int, bias: bool, prefix: str
) -> None:
    torch.manual_seed(0)
    network = tutorial(layers, 100, 4, channels, bias)
    torch.save({prefix + name: value for name, value in network.state_dict().items()}, tmp_path / "netG.pth")
    done = convert(tmp_path / "netG.pth", tmp_path / "model")
    assert (done.plugin, done.layout, done.config["size"]) == ("dcgan", "dcgan", 2 ** (layers + 1))
    model = artgan.load(f"local-dir:{tmp_path / 'model'}")
    noise = model.generator.noise(3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = network(noise[:, :, None, None]).expand(-1, 3, -1, -1)
        made = model(noise)
    assert wanted.std() > 0.01
    assert (made - wanted).abs().max() <= 1e-5
    [picture] = model.sample(1, seed=0)
    assert picture.size == (2 ** (layers + 1), 2 ** (layers + 1))


def test_files_without_a_count_of_batches_are_read(tmp_path: Path) -> None:
    state = tutorial(5, 10, 2, 3).state_dict()
    torch.save({f"main.{key}": v for key, v in state.items() if not key.endswith("tracked")}, tmp_path / "netG.pth")
    assert convert(tmp_path / "netG.pth", tmp_path / "model").config["noise_size"] == 10


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (tutorial(7, 10, 1, 3), "looks like dcgan, for pictures of 256 px; artgan's makes 32, 64 or 128 px"),
        (tutorial(5, 10, 2, 4), "looks like dcgan, for pictures of 4 channels; artgan's have 3"),
        (
            nn.Sequential(
                *(nn.Conv2d(3, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)),
                *(nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2)),
                *(nn.Conv2d(16, 1, 4, 1, 0, bias=False), nn.Sigmoid()),
            ),
            "looks like a discriminator of DCGAN; convert the generator's weights",
        ),
    ],
)
def test_what_ours_cannot_hold_is_told(tmp_path: Path, network: nn.Module, told: str) -> None:
    torch.save({f"main.{key}": value for key, value in network.state_dict().items()}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=re.escape(told)):
        convert(tmp_path / "net.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def maps(network: nn.Module, x: torch.Tensor, kinds: tuple[type, ...]) -> list[tuple[int, ...]]:
    """The shapes of what each layer of some kinds gives for one input."""
    shapes: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    network.eval()(x)
    for hook in hooks:
        hook.remove()
    return shapes


def test_the_papers_generator_has_the_feature_maps_of_its_figure_1() -> None:
    generator = build_generator(parse(DCGANConfig, {"width": 128, "kernel": 5}, where="paper"))
    shapes = maps(generator, generator.noise(1), (nn.ConvTranspose2d,))
    assert shapes == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]
    assert [layer.kernel_size for layer in generator.modules() if isinstance(layer, nn.ConvTranspose2d)][1:] == [
        (5, 5)
    ] * 4


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("kernel", [4, 5])
def test_depth_follows_size(size: int, kernel: int) -> None:
    networks = build(DCGANConfig(size=size, width=8, kernel=kernel))
    generator, discriminator = networks.generators["pictures"], networks.discriminators["pictures"]
    sides = [shape[1] for shape in maps(generator, generator.noise(2), (nn.ConvTranspose2d,))]
    assert sides == [4 * 2**i for i in range(len(sides))]
    assert sides[-1] == size
    pictures = generator(generator.noise(2))
    down = [shape[1] for shape in maps(discriminator, pictures, (nn.Conv2d,))]
    assert down == [*sides[-2::-1], 1]


def steps_of(pictures: torch.Tensor) -> float:
    """The largest difference between neighboring pixels away from the edges."""
    inside = pictures.detach()[..., 8:-8, 8:-8]
    return float((inside[..., 1:] - inside[..., :-1]).abs().max())


@pytest.mark.parametrize("upsample", ["resize", "bilinear"])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_resize_convolutions_leave_neither_grid_nor_frame(upsample: str, size: int) -> None:
    """What they make of a plain feature map is plain, where transposed convolutions weave."""
    torch.manual_seed(0)
    generator = build_generator(DCGANConfig(size=size, width=4, upsample=upsample)).eval()
    assert maps(generator, generator.noise(2), (nn.ConvTranspose2d,)) == [(size // 2, 4, 4)]
    assert maps(generator, generator.noise(2), (nn.Conv2d,))[-1] == (3, size, size)
    plain = torch.rand(1, size // 2, 1, 1).expand(-1, -1, 4, 4)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.2)
    made = generator.model[1:](plain)
    assert made.std() > 0.01, "the channels differ"
    assert made.std((2, 3)).max() < 1e-5
    woven = build_generator(DCGANConfig(size=size, width=4)).eval()
    for parameter in woven.parameters():
        nn.init.normal_(parameter, std=0.2)
    assert steps_of(woven.model[1:](plain)) > 0.01


@pytest.mark.parametrize("multiscale", ["progressive", "msg"])
@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("kernel", [4, 5])
def test_every_size_has_its_resolutions(size: int, kernel: int, multiscale: str) -> None:
    networks = build(DCGANConfig(size=size, width=4, kernel=kernel, multiscale=multiscale))
    generator, discriminator = networks.generators["pictures"], networks.discriminators["pictures"]
    pictures = generator.pictures(generator.noise(2))
    assert [picture.shape[-1] for picture in pictures] == [4 * 2**i for i in range(size.bit_length() - 2)]
    assert pictures[-1].shape[-1] == size
    assert discriminator.judge(discriminator.shown(pictures))[0].shape == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "width", "kernel"), [(64, 64, 4), (64, 128, 5), (128, 16, 4)])
def test_the_number_of_parameters_is_that_of_the_table(size: int, width: int, kernel: int) -> None:
    """Counted from the shapes: kernels, two numbers a channel for each batch norm, biases beside pictures and logit."""
    channels = [width]
    while size // 2 ** (len(channels) + 1) >= 4:
        channels.append(2 * channels[-1])
    between = sum(a * b * kernel**2 + 2 * a for a, b in itertools.pairwise(channels))
    up = 100 * channels[-1] * 16 + 2 * channels[-1] + between + (3 * width * kernel**2 + 3)
    between = sum(a * b * kernel**2 + 2 * b for a, b in itertools.pairwise(channels))
    down = 3 * width * kernel**2 + width + between + 16 * channels[-1] + 1
    networks = build(DCGANConfig(size=size, width=width, kernel=kernel))
    assert parameters(networks.generators["pictures"]) == up
    assert parameters(networks.discriminators["pictures"]) == down


@pytest.mark.numerical
def test_the_first_weights_are_the_papers() -> None:
    """Within six standard errors of as many draws."""
    torch.manual_seed(0)
    networks = build(DCGANConfig())
    for network in (networks.generators["pictures"], networks.discriminators["pictures"]):
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                n = layer.weight.numel()
                assert float(layer.weight.std()) == pytest.approx(0.02, rel=6 / math.sqrt(2 * n))
                assert abs(float(layer.weight.mean())) < 6 * 0.02 / math.sqrt(n)
            elif isinstance(layer, nn.BatchNorm2d):
                n = layer.weight.numel()
                assert float(layer.weight.mean()) == pytest.approx(1, abs=6 * 0.02 / math.sqrt(n))
                assert float(layer.weight.std()) == pytest.approx(0.02, rel=6 / math.sqrt(2 * n))
                assert not layer.bias.any()


def test_the_presets_are_what_they_say() -> None:
    known = {name: parse(DCGANConfig, {k: v for k, v in values.items() if hasattr(DCGANConfig(), k)}, where=name)
             for name, values in plugin.presets.items()}  # fmt: skip
    paper, monet, resize = known["paper"], known["monet"], known["resize"]
    assert [config.upsample for config in (paper, monet, resize)] == ["transposed", "transposed", "bilinear"]
    assert (paper.real_label, paper.fake_label, paper.noise) == (1.0, 0.0, "uniform(-1,1)")
    assert (monet.real_label, monet.fake_label) == (0.8, 0.1)
    for config in (paper, monet):
        assert (config.loss, config.lr, config.beta1, config.beta2) == ("nonsaturating", 2e-4, 0.5, 0.999)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"size": 48}, "size must be 32, 64 or 128, not 48"),
        ({"size": 256}, "size: must be at most 128"),
        ({"noise": "normal(0,-1)"}, "VARIANCE must be greater than 0"),
        ({"noise": "loud"}, "write normal(MEAN,VARIANCE)"),
        ({"noise_size": 0}, "noise_size: must be at least 1"),
    ],
)
def test_what_it_cannot_be_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(DCGANConfig, values, where="dcgan")
    assert told in str(refused.value)


def test_the_noise_is_that_of_the_config() -> None:
    generator = build_generator(DCGANConfig(width=2, noise="gamma(2,1)", noise_size=50))
    seed = torch.Generator().manual_seed(3)
    drawn = generator.noise(4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(drawn, Noise.parse("gamma(2,1)").draw(4, 50, generator=seed))
