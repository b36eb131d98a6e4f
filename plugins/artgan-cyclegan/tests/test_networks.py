"""The networks against the paper, the reference's layout and each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from artgan_cyclegan import plugin
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import (
    BlurPool2d,
    BlurUpsample2d,
    HalfSizeGenerator,
    InstanceNorm,
    PatchDiscriminator,
    ProjectedDiscriminator,
    ResNetGenerator,
    SubpixelGenerator,
    UNetGenerator,
    build,
    build_generator,
)
from support import plain_vgg
from torch import nn

import artgan
from artgan.config import parse
from artgan.errors import ConfigError, RenamedWarning
from artgan.features import VGG19
from artgan.toolkit import ResizeConv2d


def preset(name: str) -> CycleGANConfig:
    return parse(CycleGANConfig, plugin.presets[name], where=name)


def test_the_paper_preset_has_the_references_parameters_and_layout() -> None:
    generator = build_generator(preset("paper"))
    assert sum(p.numel() for p in generator.parameters()) == 11_378_179
    convolutions = ["model.1", "model.4", "model.7"]
    convolutions += [f"model.{block}.conv_block.{i}" for block in range(10, 19) for i in (1, 5)]
    convolutions += ["model.19", "model.22", "model.26"]
    expected = {f"{name}.{part}" for name in convolutions for part in ("weight", "bias")}
    assert set(generator.state_dict()) == expected  # no statistics, no affine part of the norms
    shapes = {key: tuple(value.shape) for key, value in generator.state_dict().items()}
    assert shapes["model.1.weight"] == (64, 3, 7, 7)
    assert shapes["model.19.weight"] == (256, 128, 3, 3)  # transposed: input channels first
    assert shapes["model.26.weight"] == (3, 64, 7, 7)


def test_the_paper_generator_costs_what_was_counted() -> None:
    """49.55 GMAC at 256 x 256, with the transposed convolutions counted at their input's size."""
    macs = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        where = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        macs += module.weight.numel() * where.shape[2] * where.shape[3]

    with torch.device("meta"):
        generator = build_generator(preset("paper"))
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    generator(torch.empty(1, 3, 256, 256, device="meta"))
    assert macs / 1e9 == pytest.approx(49.55, abs=0.01)


def test_the_patch_discriminator_looks_at_70_by_70_pixels() -> None:
    """The receptive field of one logit, by its gradient (instance norm, which sees everything, taken out)."""
    discriminator = PatchDiscriminator(width=4)
    norms = [i for i, part in enumerate(discriminator.model) if isinstance(part, nn.InstanceNorm2d)]
    for index in norms:
        discriminator.model[index] = nn.Identity()
    picture = torch.randn(1, 3, 256, 256, requires_grad=True)
    (logits,) = discriminator(picture)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    assert picture.grad is not None
    rows, columns = picture.grad.abs().sum((0, 1)).nonzero(as_tuple=True)
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (70, 70)


@pytest.mark.parametrize("downsample", ["strided", "antialiased"])
@pytest.mark.parametrize("upsample", ["transposed", "resize", "bilinear", "nearest", "bilinear-zeros", "antialiased"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (20, 64), (36, 28)])
@pytest.mark.numerical
def test_a_generator_keeps_size_and_range(upsample: str, downsample: str, skip: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    generator = ResNetGenerator(4, 2, upsample, skip, downsample).eval()
    pictures = torch.rand(3, 3, *size) * 2 - 1
    paintings = generator.generate(pictures)
    assert paintings.shape == pictures.shape
    assert paintings.abs().max() <= 1
    alone = generator.generate(pictures[1:2])
    torch.testing.assert_close(alone, paintings[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "fast-style"},
        {"upsample": "bilinear"},
        {"downsample": "antialiased", "upsample": "antialiased"},
    ],
)
def test_no_pixel_depends_on_one_farther_than_the_reach(config: dict[str, str]) -> None:
    """By gradients, without the norms, which see everything, and without what can lose a gradient."""
    torch.manual_seed(0)
    generator = build_generator(parse(CycleGANConfig, {"width": 4, "blocks": 2, **config}, where="test")).double()
    for module in [*generator.modules()]:
        for name, part in module.named_children():
            if isinstance(part, nn.InstanceNorm2d | nn.ReLU | nn.Tanh):
                setattr(module, name, nn.Identity())
    for row in range(4):
        picture = torch.rand(1, 3, 160, 160, dtype=torch.float64, requires_grad=True)
        generator(picture)[0, :, 80 + row, 80 + row].sum().backward()
        assert picture.grad is not None
        rows = picture.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        far = max(80 + row - int(rows.min()), int(rows.max()) - 80 - row)
        assert generator.reach is not None
        assert 24 < far <= generator.reach, far


@pytest.mark.parametrize("architecture", ["fast-style", "resnet"])
def test_an_output_out_of_range_is_clamped_or_squashed_and_still_learns(architecture: str) -> None:
    generator = build_generator(parse(CycleGANConfig, {"architecture": architecture, "width": 4}, where="test"))
    output = next(layer for layer in reversed(generator.model) if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        output.bias += 2
    painting = generator(torch.rand(1, 3, 16, 16))
    assert painting.max() <= 1
    painting.mean().backward()
    assert output.bias.grad is not None
    assert output.bias.grad.abs().min() > 0


@pytest.mark.parametrize("norm", ["affine", "none"])
def test_norms_by_option(norm: str) -> None:
    config = parse(CycleGANConfig, {"width": 4, "blocks": 2, "norm": norm}, where="test")
    kinds = [layer for layer in build_generator(config).modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(kinds) == (9 if norm == "affine" else 0)
    assert all(layer.affine for layer in kinds)
    for other in ({"architecture": "fast-style"}, {"architecture": "unet"}):
        with pytest.raises(ConfigError, match="norm is for the resnet"):
            parse(CycleGANConfig, {"norm": norm, **other}, where="test")


@pytest.mark.numerical
def test_with_a_skip_a_new_generator_is_nearly_the_identity() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(1, 3, 64, 64) * 1.6 - 0.8
    generator = ResNetGenerator(24, 6, "resize", skip=True)
    # By the seed 0.03 to 0.04 with a skip, 0.47 to 0.53 without.
    assert (generator(pictures) - pictures).abs().mean() < 0.1
    assert (ResNetGenerator(24, 6, "resize")(pictures) - pictures).abs().mean() > 0.2


def test_the_gradient_passes_the_clamp() -> None:
    generator = ResNetGenerator(4, 0, "resize", skip=True)
    white = torch.ones(1, 3, 16, 16)
    with torch.no_grad():
        generator.model[-2].bias += 5  # every pixel is far over the range
    painting = generator(white)
    assert painting.max() <= 1
    painting.mean().backward()
    assert generator.model[-2].bias.grad.abs().sum() > 0


@pytest.mark.numerical
def test_resize_convolution_has_no_checkerboard() -> None:
    """Constant input and weights of any kind: a constant inside; a transposed convolution gives a pattern."""
    torch.manual_seed(0)
    flat = torch.ones(1, 4, 8, 8)
    inside = ResizeConv2d(4, 2)(flat)[..., 2:-2, 2:-2]
    assert inside.std((2, 3)).max() < 1e-6
    transposed = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1)(flat)[..., 2:-2, 2:-2]
    assert transposed.std((2, 3)).max() > 1e-3


@pytest.mark.numerical
def test_antialiased_doubling_is_bilinear() -> None:
    """The blur (1 3 3 1) weights a pixel and its neighbor 3 to 1, which is what bilinear doubling does."""
    x = torch.randn(2, 3, 5, 8)
    wanted = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(BlurUpsample2d()(x), wanted, atol=1e-6, rtol=0)


@pytest.mark.numerical
def test_antialiased_halving_keeps_flat_pictures_and_removes_what_aliases() -> None:
    """What changes from pixel to pixel would come out as flat black or white without the blur."""
    flat = torch.full((1, 2, 8, 6), 0.7)
    torch.testing.assert_close(BlurPool2d()(flat), flat[..., ::2, ::2])
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    assert BlurPool2d()(stripes).abs().max() < 1e-6


@pytest.mark.numerical
def test_our_instance_norm_is_pytorchs_and_takes_a_single_value() -> None:
    x = torch.randn(2, 3, 4, 5)
    ours, theirs = InstanceNorm(3), nn.InstanceNorm2d(3, affine=True)
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.tensor([1.0, 2.0, -3.0]))
            norm.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(ours(x[..., :1, :1])[0, :, 0, 0], ours.bias)


@pytest.mark.numerical
def test_a_unet_has_the_tutorials_parameters_and_keeps_size_and_range() -> None:
    """54,414,979, counted from the layers that the tutorial describes."""
    with torch.device("meta"):
        assert sum(p.numel() for p in UNetGenerator().parameters()) == 54_414_979
    torch.manual_seed(0)
    generator = build_generator(parse(CycleGANConfig, {"architecture": "unet", "width": 1}, where="test")).eval()
    pictures = torch.rand(2, 3, 256, 512) * 2 - 1
    paintings = generator.generate(pictures)
    assert paintings.shape == pictures.shape
    assert paintings.abs().max() <= 1
    torch.testing.assert_close(generator.generate(pictures[1:]), paintings[1:], atol=1e-5, rtol=1e-5)


def test_options_that_do_not_go_together_are_told() -> None:
    with pytest.raises(ConfigError, match="width must be an even number"):
        parse(CycleGANConfig, {"architecture": "subpixel", "width": 9}, where="test")
    for half in ({"width": 10, "skip": True}, {"width": 8}):
        with pytest.raises(ConfigError, match="a half generator's width must be a multiple of 4"):
            parse(CycleGANConfig, {"architecture": "half", **half}, where="test")
    with pytest.raises(ConfigError, match="skip is not for the unet"):
        parse(CycleGANConfig, {"architecture": "unet", "skip": True}, where="test")


@pytest.mark.parametrize("remove_grid", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.numerical
def test_a_subpixel_generator_begins_as_the_picture_and_sees_as_far_as_it_says(smooth: bool, remove_grid: bool) -> None:
    torch.manual_seed(0)
    small = {"width": 8, "blocks": 2, "smooth_colors": smooth, "remove_grid": remove_grid}
    generator = build_generator(parse(CycleGANConfig, {**plugin.presets["fast"], **small}, where="x"))
    assert isinstance(generator, SubpixelGenerator)
    pictures = (torch.rand(1, 3, 96, 80) * 2 - 1).requires_grad_()
    paintings = generator(pictures)
    assert (paintings - pictures).abs().max() < 0.4  # 0.05 to 0.16, by the seed; 1 or more if it began as noise
    generator.norm = nn.Identity()  # with it, all depends on all, through two figures a channel
    paintings = generator(pictures)
    for row, column in ((48, 40), (51, 43)):  # both ends of a block of 4 x 4
        (gradient,) = torch.autograd.grad(paintings[0, :, row, column].sum(), pictures, retain_graph=True)
        seen = gradient[0].abs().sum(0).nonzero()
        far = int((seen - torch.tensor([row, column])).abs().max())
        assert generator.reach is not None
        assert generator.reach - 4 < far <= generator.reach


@pytest.mark.numerical
def test_a_half_generator_begins_as_the_picture_sees_as_far_as_it_says_and_makes_no_grid() -> None:
    torch.manual_seed(0)
    small = {**plugin.presets["finisher"], "width": 8, "blocks": 2}
    generator = build_generator(parse(CycleGANConfig, small, where="x"))
    assert isinstance(generator, HalfSizeGenerator)
    pictures = (torch.rand(1, 3, 96, 80) * 2 - 1).requires_grad_()
    assert (generator(pictures) - pictures).abs().max() < 0.1
    ground = torch.full((1, 3, 128, 128), 0.1)
    nn.init.normal_(generator.output.weight)
    with torch.no_grad():
        change = (generator(ground) - ground)[..., 48:-48, 48:-48]
    assert change.std((2, 3)).max() < 1e-5  # of one color it makes one color
    generator.norm = nn.Identity()  # with it, all depends on all, through two figures a channel
    for parameter in generator.parameters():  # no ReLU that never wakes
        nn.init.normal_(parameter, 0.0, 0.3) if parameter.dim() > 1 else nn.init.zeros_(parameter)
    paintings = generator.double()(pictures := pictures.detach().double().requires_grad_())
    far = 0
    for row, column in ((48, 40), (49, 41), (50, 42), (51, 43)):  # each place in a block of 4 x 4
        (gradient,) = torch.autograd.grad(paintings[0, :, row, column].sum(), pictures, retain_graph=True)
        far = max(far, int((gradient[0].abs().sum(0).nonzero() - torch.tensor([row, column])).abs().max()))
    assert far == generator.reach


@pytest.mark.numerical
def test_smooth_colors_repeat_nothing_from_block_to_block_and_leave_grays_alone() -> None:
    """Of a picture of one color every block of 4 x 4 is painted alike, apart from the edges of the picture."""
    torch.manual_seed(0)
    plain, smooth = (SubpixelGenerator(8, 1, smooth_colors=on) for on in (False, True))
    smooth.load_state_dict(plain.state_dict())
    pictures = torch.full((1, 3, 64, 64), 0.1)
    with torch.no_grad():
        changes = [(generator(pictures) - pictures)[:, :, 16:-16, 16:-16] for generator in (plain, smooth)]
    grays = [change.mean(1, keepdim=True) for change in changes]
    torch.testing.assert_close(grays[1], grays[0])
    spread = [float((change - gray).std((2, 3)).max()) for change, gray in zip(changes, grays, strict=True)]
    assert spread[0] > 1e-3
    assert spread[1] < 1e-6
    with pytest.raises(ConfigError, match="is for the subpixel generator"):
        parse(CycleGANConfig, {"smooth_colors": True}, where="test")


@pytest.mark.numerical
def test_a_comb_takes_out_what_repeats_from_block_to_block_and_that_alone() -> None:
    torch.manual_seed(0)
    generator = SubpixelGenerator(8, 1, remove_grid=True)
    slope = torch.linspace(-0.3, 0.3, 128).expand(1, 3, 128, 128)
    weave = torch.randn(1, 3, 4, 4) * 0.1
    weave = (weave - weave.mean((2, 3), keepdim=True)).repeat(1, 1, 32, 32)
    stroke = torch.zeros(1, 3, 128, 128)
    stroke[:, :, 61:63, 20:90] = 0.2  # along the blocks, but in one row of them

    class Made(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.pixel_unshuffle(slope + weave + stroke, 4)

    generator.output = Made()
    with torch.no_grad():
        change = generator(torch.zeros(1, 3, 128, 128))
    inside = (..., slice(24, -24), slice(24, -24))  # at the edges of a picture it sees half as many blocks
    torch.testing.assert_close((change - stroke)[..., 24:36, 24:-24], slope[..., 24:36, 24:-24], atol=1e-6, rtol=0)
    assert (change - slope - stroke)[inside].abs().max() < 0.2 / 9
    with pytest.raises(ConfigError, match="remove_grid is for the subpixel generator"):
        parse(CycleGANConfig, {"remove_grid": True}, where="test")


@pytest.mark.numerical
def test_of_one_color_a_comb_makes_one_color() -> None:
    torch.manual_seed(0)
    plain, without_grid = (SubpixelGenerator(8, 1, remove_grid=on) for on in (False, True))
    without_grid.load_state_dict(plain.state_dict())
    with torch.no_grad():
        ground = torch.full((1, 3, 96, 96), 0.1)
        spread = [g(ground)[..., 32:-32, 32:-32].std((2, 3)).max() for g in (plain, without_grid)]
    assert spread[0] > 1e-3
    assert spread[1] < 1e-6


def test_a_subpixel_generator_without_skip_paints_anew() -> None:
    torch.manual_seed(0)
    generator = SubpixelGenerator(8, 1, skip=False)
    pictures = torch.ones(2, 3, 8, 12)
    assert generator(pictures).shape == pictures.shape
    assert generator(pictures).abs().max() < 1


def random_vgg(layers: tuple[str, ...] = ProjectedDiscriminator.layers) -> VGG19:
    state = plain_vgg.draw("vgg19", layers[-1])
    return VGG19({key.removeprefix("features."): value for key, value in state.items()}, layers)


def test_the_projected_discriminator_trains_its_heads_alone() -> None:
    torch.manual_seed(0)
    discriminator = ProjectedDiscriminator(random_vgg(), width=8)
    pictures = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
    logits = discriminator(pictures)
    assert [tuple(head.shape[:2]) for head in logits] == [(2, 1)] * 5
    assert [head.shape[-1] for head in logits[:3]] == [32, 16, 8]
    sum(head.mean() for head in logits).backward()
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0
    assert all(p.grad is not None for p in discriminator.parameters())
    assert not any("features" in key for key in discriminator.state_dict())  # VGG-19 is in no checkpoint


@pytest.mark.numerical
def test_observed_features_are_normalized_over_channels() -> None:
    discriminator = ProjectedDiscriminator(random_vgg(), width=8)
    _, *features = discriminator.observe(torch.rand(1, 3, 32, 32))
    for layer in features:
        torch.testing.assert_close(layer.mean(1), torch.zeros_like(layer[:, 0]), atol=1e-4, rtol=0)
        torch.testing.assert_close(layer.var(1, correction=0), torch.ones_like(layer[:, 0]), atol=1e-2, rtol=0)


def test_two_of_each() -> None:
    networks = build(parse(CycleGANConfig, {"width": 4, "blocks": 1, "discriminator_width": 4}, where="test"))
    assert list(networks.generators) == ["paintings", "photos"]
    assert set(networks.discriminators) == {"paintings", "photos"}


def test_a_model_folder_with_the_old_option_names_still_loads(tmp_path: Path) -> None:
    artgan.load("cyclegan.vangogh-fine").save_pretrained(tmp_path, examples=False)
    card = json.loads((tmp_path / "config.json").read_text())
    for new, old in (("smooth_colors", "smooth_colours"), ("remove_grid", "comb")):
        card["config"][old] = card["config"].pop(new)
    (tmp_path / "config.json").write_text(json.dumps(card))
    with pytest.warns(RenamedWarning, match="remove_grid"):
        model = artgan.load(f"local-dir:{tmp_path}")
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(model(photo), artgan.load("cyclegan.vangogh-fine")(photo))
