"""FastGAN's networks against the papers' formulas, written out with plain functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from artgan_fastgan.config import FastGANConfig
from artgan_fastgan.discriminators import (
    LAYERS,
    ProjectedDiscriminator,
    RandomProjection,
    SelfSupervisedDiscriminator,
)
from artgan_fastgan.generator import GLU, FastGANGenerator, SkipLayerExcitation
from support import plain_vgg
from torch import nn
from torch.optim.swa_utils import update_bn

from artgan.toolkit import VGG19


@pytest.fixture(scope="module")
def vgg19() -> VGG19:
    state = plain_vgg.draw("vgg19", LAYERS[-1])
    return VGG19({key.removeprefix("features."): value for key, value in state.items()}, LAYERS)


def test_a_gated_linear_unit_is_torchs() -> None:
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(GLU()(x), F.glu(x, dim=1))


@pytest.mark.numerical
def test_skip_layer_excitation_is_its_formula() -> None:
    """Pool to 4 x 4, convolve 4x4, SiLU, convolve 1x1, sigmoid; it weights each channel of the fine map."""
    layer = SkipLayerExcitation(6, 8)
    coarse, fine = torch.randn(2, 6, 8, 8), torch.randn(2, 8, 128, 128)
    first, second = (part for part in layer.weigh if isinstance(part, nn.Conv2d))
    pooled = coarse.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))
    hidden = torch.einsum("ncyx,ocyx->no", pooled, first.weight) + first.bias
    weights = torch.sigmoid((hidden * torch.sigmoid(hidden)) @ second.weight[:, :, 0, 0].T + second.bias)
    torch.testing.assert_close(layer(coarse, fine), fine * weights[:, :, None, None])


@pytest.mark.parametrize(("size", "excited"), [(64, {64: 4}), (128, {64: 4, 128: 8}), (256, {64: 4, 128: 8, 256: 16})])
def test_maps_of_64_pixels_and_more_are_excited_by_those_of_a_sixteenth(size: int, excited: dict[int, int]) -> None:
    """As in the paper's figure 3. A gate that is shut leaves only the output layer's bias."""
    generator = FastGANGenerator(FastGANConfig(size=size, width=14, noise_size=8)).eval()
    assert [*generator.excitations] == [str(side) for side in excited]
    sides = {}
    for name, layer in generator.excitations.items():
        layer.register_forward_hook(
            lambda _, maps, out, name=name: sides.update({int(name): (maps[0].shape[2], out.shape[2])})
        )
    made = generator(generator.noise(2))
    assert sides == {side: (coarse, side) for side, coarse in excited.items()}
    assert made.shape == (2, 3, size, size)
    with torch.no_grad():
        shut = generator.excitations[str(size)].weigh[-2]
        shut.weight.zero_()
        shut.bias.fill_(-1e9)
        generator.output.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
        made = generator(generator.noise(2))
    torch.testing.assert_close(made, torch.tanh(torch.tensor([0.5, 0.0, -0.5]))[:, None, None].expand_as(made))


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_default_weights_take_at_most_8_mb_in_half_precision(size: int) -> None:
    with torch.device("meta"):
        state = FastGANGenerator(FastGANConfig(size=size)).state_dict()
    assert 7e6 < 2 * sum(value.numel() for value in state.values()) < 8e6


def test_a_generator_starts_from_one_of_smaller_pictures() -> None:
    """All maps up to the smaller one's side are the same then; any other network is refused."""
    small, large = (FastGANGenerator(FastGANConfig(size=size, width=28)).eval() for size in (64, 128))
    large.start_from(small)
    maps: list[torch.Tensor] = []
    for generator in (small, large):
        generator.doublings["64"].register_forward_hook(lambda _, __, out: maps.append(out))
        generator(torch.ones(1, 256))
    torch.testing.assert_close(*maps, rtol=0, atol=0)
    for other in (FastGANGenerator(FastGANConfig(size=64, width=56)), FastGANGenerator(FastGANConfig(width=56))):
        with pytest.raises(RuntimeError, match="loading state_dict"):
            large.start_from(other)
    with pytest.raises(RuntimeError, match="loading state_dict"):
        small.start_from(large)


def on_plain_ground(generator: FastGANGenerator) -> torch.Tensor:
    """The middle of a picture whose first map is the same everywhere, beyond the reach of its edges: 3 x 24 x 24."""
    update_bn([generator.noise(4)], generator)
    generator.dense[2].register_forward_hook(lambda _, __, out: out[:, :, :1, :1].expand(-1, -1, 4, 4))
    with torch.no_grad():
        return generator.eval()(generator.noise(1))[0, :, 52:76, 52:76]


class Transposed(FastGANGenerator):
    """The same with transposed convolutions, as DCGAN has them."""

    def __init__(self) -> None:
        super().__init__(FastGANConfig(width=28))
        for double in self.doublings.values():
            convolution = double[1]
            double[0] = nn.Identity()
            double[1] = nn.ConvTranspose2d(
                convolution.in_channels, convolution.out_channels, 3, stride=2, padding=1, output_padding=1
            )
            nn.init.normal_(double[1].weight, 0.0, 0.02)


@pytest.mark.numerical
@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
def test_an_untrained_generator_leaves_no_grid_on_plain_ground(upsample: str) -> None:
    """A transposed convolution of 3x3 does: it touches every other pixel more often."""
    middle = on_plain_ground(FastGANGenerator(FastGANConfig(width=28, upsample=upsample)))
    assert float(middle.std((1, 2)).max()) < 1e-3 * float(middle.abs().max())
    grid = on_plain_ground(Transposed())
    assert float(grid.std((1, 2)).max()) > 1e-2 * float(grid.abs().max())


@pytest.mark.numerical
def test_random_projections_are_sums_of_convolutions() -> None:
    projection = RandomProjection([5, 7, 9], [4, 6, 8])
    features = [torch.randn(2, 5, 16, 16), torch.randn(2, 7, 8, 8), torch.randn(2, 9, 4, 4)]
    fine, middle, coarse = projection(features)
    weights = dict(projection.named_buffers())

    def enlarged(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")

    own = [torch.einsum("nchw,oc->nohw", f, weights[f"channels{i}"][:, :, 0, 0]) for i, f in enumerate(features)]
    torch.testing.assert_close(coarse, own[2])
    expected = (own[1] + enlarged(F.conv2d(coarse, weights["scales2"], padding=1))) / 2**0.5
    torch.testing.assert_close(middle, expected)
    expected = (own[0] + enlarged(F.conv2d(middle, weights["scales1"], padding=1))) / 2**0.5
    torch.testing.assert_close(fine, expected)


@pytest.mark.numerical
def test_random_projections_keep_the_features_variance() -> None:
    projection = RandomProjection([128, 256, 512, 512], [64, 128, 256, 512])
    features = [torch.randn(2, c, s, s) for c, s in ((128, 64), (256, 32), (512, 16), (512, 8))]
    for mixed in projection(features):
        assert 0.6 < float(mixed.var()) < 1.3


@pytest.mark.slow
@pytest.mark.parametrize(("size", "sides"), [(64, (5, 5, 5, 1)), (128, (5, 5, 5, 5)), (256, (5, 5, 5, 5))])
def test_heads_look_at_four_levels_and_the_pixels(vgg19: VGG19, size: int, sides: tuple[int, ...]) -> None:
    discriminator = ProjectedDiscriminator(vgg19, size, 4)
    pictures = torch.rand(1, 3, size, size) * 2 - 1
    observed = discriminator.eval().observe(pictures)
    assert [tuple(x.shape[1:]) for x in observed] == [
        *((4 << level, size >> level + 1, size >> level + 1) for level in range(4)),
        (3, size, size),
    ]
    logits = [tuple(head.shape) for head in discriminator.judge(observed)]
    assert logits == [(1, 1, side, side) for side in (*sides, size // 8 - 3)]


def test_only_heads_are_trained_and_vgg19_is_in_no_checkpoint(vgg19: VGG19) -> None:
    discriminator = ProjectedDiscriminator(vgg19, 64, 4)
    trained = {name.split(".")[0] for name, _ in discriminator.named_parameters()}
    kept = {name.split(".")[0] for name in discriminator.state_dict()}
    assert (trained, kept) == ({"heads"}, {"heads", "projection"})


@pytest.mark.numerical
def test_features_that_are_a_thousand_times_larger_are_judged_alike(vgg19: VGG19) -> None:
    """The files' features differ in size by layer; each position is normalized before the mixing."""
    discriminator = ProjectedDiscriminator(vgg19, 64, 4).eval()
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    small = discriminator.observe(pictures)
    features = discriminator.features.forward
    discriminator.features.forward = lambda x: [1000 * f for f in features(x)]  # type: ignore[method-assign]  # undone below
    try:
        large = discriminator.observe(pictures)
    finally:
        del discriminator.features.forward
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128, 256])
def test_decoders_reconstruct_the_whole_and_the_right_quarter(size: int) -> None:
    """With decoders that return constants, the loss is the mean distance of the whole and a quarter from them."""
    discriminator = SelfSupervisedDiscriminator(size, 4).eval()
    pictures = torch.zeros(1, 3, size, size)
    pictures[:, :, : size // 2, size // 2 :] = 0.8  # one quarter is bright
    for decoder in (discriminator.whole, discriminator.part):
        nn.init.zeros_(decoder[-2].weight)
        assert decoder(torch.zeros(1, decoder[0][1].in_channels, 8, 8)).shape[2] == min(size, 128)
    logits = discriminator(pictures)
    assert [tuple(head.shape[1:]) for head in logits] == [(1, 13, 13), (1, 5, 5)]
    with torch.no_grad():
        losses = {round(float(discriminator.auxiliary_loss((pictures,))), 2) for _ in range(40)}
    assert losses == {0.2, 1.0}
