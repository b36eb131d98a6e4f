"""Networks with a picture at each resolution against the formulas of the two papers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from artgan.interfaces import Discriminator
from artgan.sampling.noise import Noise
from artgan.training.losses import r1_penalty
from artgan.training.multiscale.networks import (
    MultiscaleGenerator,
    MultiscaleGradientDiscriminator,
    ProgressiveDiscriminator,
    averaged,
    enlarged,
)

pytestmark = pytest.mark.numerical

CHANNELS = [6, 5, 4, 3]  # of the features at 4, 8, 16 and 32 pixels


def generator() -> MultiscaleGenerator:
    torch.manual_seed(0)
    return MultiscaleGenerator(
        Noise.parse("normal(0,1)"),
        7,
        CHANNELS,
        4,
        lambda before, after: nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()),
    )


def block(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2))


def head(before: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(before * 16, 1))


def progressive() -> ProgressiveDiscriminator:
    torch.manual_seed(1)
    return ProgressiveDiscriminator(CHANNELS, 4, block, head)


def gradients() -> MultiscaleGradientDiscriminator:
    torch.manual_seed(1)
    return MultiscaleGradientDiscriminator(CHANNELS, 4, block, head)


def means(pictures: Tensor, side: int) -> Tensor:
    """Averaged down to a side, by NumPy."""
    count, channels, size, _ = pictures.shape
    cells = pictures.numpy().reshape(count, channels, side, size // side, side, size // side)
    return torch.from_numpy(cells.mean((3, 5)))


def repeated(pictures: Tensor) -> Tensor:
    return torch.from_numpy(pictures.detach().numpy().repeat(2, 2).repeat(2, 3))


def test_averaging_and_enlarging_are_means_and_repetitions() -> None:
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(averaged(x, 2), means(x, 2))
    assert averaged(x, 8) is x or torch.equal(averaged(x, 8), x)
    assert torch.equal(enlarged(x, 16), repeated(x))
    torch.testing.assert_close(averaged(enlarged(x, 32), 8), x)


def test_a_resolution_fades_in_as_a_blend_with_the_enlarged_picture_below_it() -> None:
    network = generator()
    noise = network.noise(2)
    alone = {}
    for level in (0.0, 1.0, 2.0, 3.0):
        network.grow(level)
        alone[level] = network.pictures(noise)[-1].detach()
        assert alone[level].shape == (2, 3, 4 << int(level), 4 << int(level))
    for level, share in ((0.25, 0.25), (1.5, 0.5), (2.875, 0.875)):
        network.grow(level)
        below, above = alone[float(int(level))], alone[float(int(level)) + 1]
        expected = (1 - share) * repeated(below) + share * above
        torch.testing.assert_close(network.pictures(noise)[-1].detach(), expected)


def test_growing_is_continuous() -> None:
    """A resolution appears without a jump: at a small share the picture is the enlarged one of before."""
    network = generator()
    noise = network.noise(2)
    network.grow(2.0)
    before = network(noise)
    network.grow(2 + 2.0**-20)
    torch.testing.assert_close(network(noise), before, rtol=0, atol=1e-5)
    network.grow(3 - 2.0**-20)
    almost = network(noise)
    network.grow(3.0)
    torch.testing.assert_close(almost, network(noise), rtol=0, atol=1e-5)


def test_a_generator_that_has_not_grown_enlarges_its_pictures() -> None:
    network = generator()
    noise = network.noise(2)
    network.grow(1.0)
    small = network.pictures(noise)[-1]
    assert small.shape[-1] == 8
    assert torch.equal(network(noise), repeated(repeated(small)))


def test_how_far_it_has_grown_is_part_of_its_weights() -> None:
    network, other = generator(), generator()
    network.grow(1.75)
    other.load_state_dict(network.state_dict())
    noise = network.noise(2)
    assert torch.equal(network(noise), other(noise))


@pytest.mark.parametrize(("level", "stages", "pictures"), [(0.0, 1, {0}), (1.5, 3, {1, 2}), (3.0, 4, {3})])
def test_layers_that_take_no_part_are_frozen(level: float, stages: int, pictures: set[int]) -> None:
    network, judge = generator(), progressive()
    network.grow(level)
    judge.grow(level)

    def trained(modules: nn.ModuleList) -> set[int]:
        return {i for i, module in enumerate(modules) if all(p.requires_grad for p in module.parameters())}

    assert trained(network.stages) == set(range(stages))
    assert trained(judge.blocks) == set(range(stages - 1))
    assert trained(network.to_rgb) == trained(judge.from_rgb) == pictures
    shown = judge.shown(network.pictures(network.noise(2)))
    inputs = [p for part in (network, judge) for p in part.parameters() if p.requires_grad]
    [logits] = judge.judge(shown)
    assert all(g is not None for g in torch.autograd.grad(logits.sum(), inputs, allow_unused=True))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 1.25, 3.0])
def test_a_growing_discriminator_sees_real_pictures_blended_as_generated_ones_are(level: float) -> None:
    judge = progressive()
    judge.grow(level)
    real = torch.rand(2, 3, 32, 32) * 2 - 1
    [seen] = judge.observe(real)
    below = int(level)
    share = level - below
    expected = means(real, 4 << below)
    if share:
        expected = (1 - share) * repeated(expected) + share * means(real, 8 << below)
    torch.testing.assert_close(seen, expected)


def test_a_growing_discriminator_fades_in_as_a_blend_of_features() -> None:
    judge = progressive().eval()
    pictures = torch.rand(2, 3, 16, 16) * 2 - 1
    judge.grow(1.25)  # a quarter of 16 pixels
    seen: list[Tensor] = []
    judge.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    judge.judge([pictures])
    above = judge.blocks[1](judge.from_rgb[2](pictures))
    below = judge.from_rgb[1](means(pictures, 8))
    torch.testing.assert_close(seen[0], 0.75 * below + 0.25 * above)
    judge.grow(2.0)
    judge.judge([pictures])
    torch.testing.assert_close(seen[1], above)


def test_the_msg_discriminator_sees_real_pictures_averaged_down_to_each_resolution() -> None:
    real = torch.rand(2, 3, 32, 32) * 2 - 1
    seen = gradients().observe(real)
    assert [scale.shape[-1] for scale in seen] == [4, 8, 16, 32]
    for scale in seen:
        torch.testing.assert_close(scale, means(real, scale.shape[-1]))


def test_the_msg_discriminator_concatenates_pictures_and_features() -> None:
    judge = gradients().eval()
    scales = [torch.rand(2, 3, side, side) for side in (4, 8, 16, 32)]
    inputs: list[Tensor] = []
    for part in (*judge.blocks, judge.head):
        part.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    judge.judge(scales)
    first, second, third, last = inputs  # from the largest
    assert torch.equal(first, judge.from_rgb[3](scales[3]))
    for joined, resolution, before in ((second, 2, first), (third, 1, second), (last, 0, third)):
        expected = torch.cat([judge.from_rgb[resolution](scales[resolution]), judge.blocks[resolution](before)], 1)
        assert torch.equal(joined, expected)


def test_msg_gradients_reach_the_generator_directly_at_every_resolution() -> None:
    """Also where all other resolutions are cut off: each picture carries a gradient to its own layer to RGB."""
    network, judge = generator(), gradients()
    network.requires_grad_(True)
    for resolution in range(4):
        pictures = network.pictures(network.noise(3))
        cut = [p if i == resolution else p.detach() for i, p in enumerate(pictures)]
        [logits] = judge.judge(judge.shown(cut))
        wanted = [*network.to_rgb[resolution].parameters(), *network.stages[: resolution + 1].parameters()]
        found = torch.autograd.grad(logits.sum(), wanted, allow_unused=True)
        assert all(gradient is not None and bool(gradient.any()) for gradient in found), resolution


class Weighted(Discriminator):
    """D(x, y) = a . x + b . y."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(3 * side**2)) for side in (4, 8)])

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        return (sum((x.flatten(1) @ weight)[:, None] for x, weight in zip(observed, self.weights, strict=True)),)


def test_r1_of_several_resolutions_is_the_mean_of_their_penalties() -> None:
    judge = Weighted()
    scales = [torch.randn(5, 3, side, side) for side in (4, 8)]
    expected = np.mean([float(weight.detach().square().sum()) for weight in judge.weights])
    assert float(r1_penalty(judge.judge, scales).detach()) == pytest.approx(expected)
