"""The losses and their gradients against the published formulas, written anew on a network written anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from artgan_gatys.config import RECIPES, GatysOptions
from artgan_gatys.losses import (
    FORMULAS,
    Losses,
    Objective,
    StyleTarget,
    content_loss,
    gram,
    guides,
    style_loss,
    total_variation,
)
from artgan_gatys.networks import FeatureNetwork, build_network
from artgan_gatys.styles import masks
from artgan_gatys.synthesis import Synthesis
from support import plain_vgg
from torch import Tensor, nn

from artgan import images
from artgan.toolkit import find_styles, read_mask

SIZE = (32, 48)
FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SMALL = ("relu1_1", "relu2_1", "relu3_1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_vgg.write(tmp_path_factory.mktemp("vgg") / "vgg19.safetensors", "vgg19", "conv5_1")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return plain_vgg.draw("vgg19", "conv5_1")


def picture(*size: int, seed: int) -> Tensor:
    """1 x 3 x H x W, smooth enough to be one, rounded as a file keeps it."""
    source = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, 3, max(1, size[0] // 4), max(1, size[1] // 4), generator=source)
    smooth = torch.nn.functional.interpolate(rough, size, mode="bilinear") + 0.2 * torch.rand(
        1, 3, *size, generator=source
    )
    return (smooth.clamp(0, 1) * 255).round() / 127.5 - 1


def save(path: Path, pixels: Tensor) -> str:
    images.encode(images.to_rgb(pixels[0]), path)
    return str(path)


def objective(
    weights: Path, photo: Tensor, styles: Sequence[str], regions: dict[int, Tensor] | None = None, **options: object
) -> Objective:
    """What painting minimizes at the photo's own size, in the photo's precision.

    Beside photos as small as here, styles whose shorter side has 64 pixels, the least that there is, are not resized.
    """
    given = GatysOptions(style=tuple(styles), **options)  # type: ignore[arg-type]  # of several types
    recipe = given.resolved()
    wanted = (*recipe.content_layers, *recipe.style_layers)
    network = build_network("vgg19", wanted, pooling=recipe.pooling, weights=weights).to(photo.dtype)
    found = find_styles(given.style, given.style_mask)
    return Synthesis(network, "vgg19", photo, given, recipe, found, regions or {})._objective(*photo.shape[-2:])


# ---- the recipes, as published


def square(x: Tensor) -> Tensor:
    return (x * x).sum()


def unnormalized_gram(f: Tensor) -> Tensor:
    """G_ij = sum over k of F_ik F_jk."""
    return torch.einsum("ihw,jhw->ij", f[0], f[0])


def channels_and_positions(f: Tensor) -> tuple[int, int]:
    return f.shape[1], f.shape[2] * f.shape[3]


def gatys2016_content(f: Tensor, p: Tensor) -> Tensor:
    """Equation 1."""
    return square(f - p) / 2


def gatys2016_style(f: Tensor, s: Tensor) -> Tensor:
    """Equation 4, where the style has positions of its own."""
    (n, m), (_, m_style) = channels_and_positions(f), channels_and_positions(s)
    if m == m_style:
        return square(unnormalized_gram(f) - unnormalized_gram(s)) / (4 * n**2 * m**2)
    return square(unnormalized_gram(f) / m - unnormalized_gram(s) / m_style) / (4 * n**2)


def mean_squared_error(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).mean()


def code_style(f: Tensor, s: Tensor) -> Tensor:
    """GramMSELoss: each Gram matrix divided by h * w, then the mean of the squares."""
    return mean_squared_error(*(unnormalized_gram(x) / channels_and_positions(x)[1] for x in (f, s)))


def johnson_style(f: Tensor, s: Tensor) -> Tensor:
    """neural_style.lua: each Gram matrix divided by nElement, then MSECriterion."""
    return mean_squared_error(*(unnormalized_gram(x) / x.numel() for x in (f, s)))


def johnson_tv(painting: Tensor) -> Tensor:
    """The loss whose gradient neural_style.lua's TVLoss is: a loop over pixels, for values of 0 to 255."""
    x = (painting[0] + 1) / 2 * 255
    loss = x.new_zeros(())
    for i in range(x.shape[1] - 1):
        for j in range(x.shape[2] - 1):
            loss = loss + square(x[:, i, j] - x[:, i, j + 1]) + square(x[:, i, j] - x[:, i + 1, j])
    return loss / 2


def relative_content(f: Tensor, p: Tensor) -> Tensor:
    return square(f - p) / square(p)


def relative_style(f: Tensor, s: Tensor) -> Tensor:
    a, b = (unnormalized_gram(x) / channels_and_positions(x)[1] for x in (f, s))
    return square(a - b) / square(b)


Formula = Callable[[Tensor, Tensor], Tensor]
PUBLISHED: dict[str, tuple[Formula, Formula, dict[str, float], float, float, str]] = {
    # content, style, the weights of its layers, alpha, the weight of the total variation, pooling
    "gatys2016": (gatys2016_content, gatys2016_style, dict.fromkeys(FIVE, 1000 / 5), 1, 0, "avg"),
    "gatys-code": (
        mean_squared_error,
        code_style,
        {layer: 1000 / n**2 for layer, n in zip(FIVE, (64, 128, 256, 512, 512), strict=True)},
        1,
        0,
        "max",
    ),
    "neural-style": (mean_squared_error, johnson_style, dict.fromkeys(FIVE, 100.0), 5, 1e-3, "max"),
    "student": (gatys2016_content, gatys2016_style, dict.fromkeys(FIVE[:4], 1e4 / 4), 1, 0, "max"),
    "artgan": (relative_content, relative_style, dict.fromkeys(FIVE, 15 / 5), 1, 0, "max"),
}


def published(
    state: dict[str, Tensor], recipe: str, painting: Tensor, photo: Tensor, style: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Content, style and total-variation loss, weighted."""
    content, style_loss, layers, alpha, tv, pooling = PUBLISHED[recipe]
    f, p, s = (
        plain_vgg.features(state, "vgg19", x, (*layers, "relu4_2"), pooling=pooling) for x in (painting, photo, style)
    )
    total_style = sum((w * style_loss(f[layer], s[layer]) for layer, w in layers.items()), painting.new_zeros(()))
    if recipe == "artgan":  # as a share of the photo's own, of which 15 is the weight
        own = sum(w * style_loss(p[layer], s[layer]) for layer, w in layers.items()) / 15
        assert own > 0.05
        total_style = total_style / own.detach()
    variation = tv * johnson_tv(painting) if tv else painting.new_zeros(())
    return alpha * content(f["relu4_2"], p["relu4_2"]), total_style, variation


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Relative to the largest value."""
    return float((ours.detach() - theirs.detach()).abs().max() / theirs.detach().abs().max())


def test_every_recipe_is_compared() -> None:
    assert PUBLISHED.keys() == RECIPES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PUBLISHED)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.numerical
def test_a_recipes_losses_and_gradient_are_those_of_the_published_formulas(
    tmp_path: Path, weights: Path, state: dict[str, Tensor], recipe: str, dtype: torch.dtype, within: float
) -> None:
    photo, style = picture(*SIZE, seed=1).to(dtype), picture(64, 80, seed=2).to(dtype)
    painting = picture(*SIZE, seed=3).to(dtype).requires_grad_()
    ours = objective(weights, photo, [save(tmp_path / "style.png", style)], recipe=recipe)(painting)
    theirs = Losses(*published(state, recipe, painting, photo, style))
    assert difference(ours.content, theirs.content) <= within
    assert difference(ours.style, theirs.style) <= within
    assert difference(ours.total, theirs.content + theirs.style + theirs.tv) <= within
    if recipe == "neural-style":
        assert difference(ours.tv, theirs.tv) <= within
    else:
        assert ours.tv == 0
    gradients = [torch.autograd.grad(losses.total, painting)[0] for losses in (ours, theirs)]
    assert gradients[0].abs().max() > 0
    assert difference(*gradients) <= within


@pytest.mark.parametrize(
    ("recipe", "each"),
    [
        ("artgan", (1 / 3,) * 3),
        ("gatys-code", (1000 / 64**2, 1000 / 128**2, 1000 / 256**2)),
        ("neural-style", (1,) * 3),
    ],
)
@pytest.mark.numerical
def test_a_recipes_rule_weighs_other_layers_too(
    tmp_path: Path, weights: Path, state: dict[str, Tensor], recipe: str, each: tuple[float, ...]
) -> None:
    photo, style, painting = (picture(*size, seed=i).double() for i, size in enumerate((SIZE, (64, 64), SIZE)))
    path = save(tmp_path / "style.png", style)
    ours = objective(weights, photo, [path], recipe=recipe, style_layers=SMALL, content_layers=("conv3_1",))
    f, s = (plain_vgg.features(state, "vgg19", x, SMALL) for x in (painting, style))
    _, style_loss, *_ = PUBLISHED[recipe]
    # The photo is so near to this style that its own loss counts as 0.05.
    factor = {"artgan": 15 / 0.05, "gatys-code": 1, "neural-style": 100}[recipe]
    wanted = sum(factor * w * style_loss(f[layer], s[layer]) for layer, w in zip(SMALL, each, strict=True))
    assert difference(ours(painting).style, wanted) <= 1e-12


# ---- gradients


def tiny_objective(formula: str, guide: Tensor | None = None) -> Objective:
    """Of a smooth network, so that finite differences are exact."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 5, 2), nn.Softplus())
    named = {"shallow": layers[1], "deep": layers[4]}
    network = FeatureNetwork(layers, named, (0.5, 0.5, 0.5), (0.3, 0.2, 0.1)).double().requires_grad_(False)
    photo, style = (network(picture(8, 8, seed=seed).double(), tuple(named)) for seed in (1, 2))
    fields = guides(guide, {layer: f.shape for layer, f in photo.items()}) if guide is not None else {}
    targets = {layer: [StyleTarget(gram(f, fields.get(layer)), fields.get(layer))] for layer, f in style.items()}
    weights = {"shallow": 1.0, "deep": 2.0}
    return Objective(network, formula, {"deep": photo["deep"]}, targets, weights, (1.0, 3.0, 1e-4, 1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_gradient_of_each_formula_is_that_of_finite_differences(formula: str) -> None:
    painting = picture(8, 8, seed=3).double().requires_grad_()
    objective = tiny_objective(formula)
    for loss in ("content", "style", "total"):
        assert torch.autograd.gradcheck(lambda x, name=loss: getattr(objective(x), name), (painting,))


def test_the_gradient_with_a_guide_is_that_of_finite_differences() -> None:
    guide = torch.rand(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    painting = picture(8, 8, seed=3).double().requires_grad_()
    objective = tiny_objective("mean", guide)
    assert torch.autograd.gradcheck(lambda x: objective(x).style, (painting,))


@pytest.mark.parametrize("which", [0, 1])
def test_the_gradient_of_total_variation_is_that_of_finite_differences(which: int) -> None:
    painting = torch.rand(1, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.autograd.gradcheck(lambda x: total_variation(x)[which], (painting.requires_grad_(),))


def test_total_variation_is_johnsons_and_the_sum_of_absolute_differences() -> None:
    painting = picture(8, 12, seed=0).double()
    squared, absolute = total_variation(painting)
    assert difference(squared, johnson_tv(painting)) <= 1e-12
    x = (painting[0] + 1) * 127.5
    neighbors = [(i, j, k, m) for i in range(7) for j in range(11) for k, m in ((i, j + 1), (i + 1, j))]
    assert difference(absolute, sum((x[:, i, j] - x[:, k, m]).abs().sum() for i, j, k, m in neighbors)) <= 1e-12


@pytest.mark.parametrize("formula", FORMULAS)
def test_what_is_equal_has_no_distance_and_black_no_infinite_one(formula: str) -> None:
    features, black = torch.rand(1, 4, 5, 6), torch.zeros(1, 4, 5, 6)
    assert content_loss(formula, features, features) == style_loss(formula, gram(features), gram(features)) == 0
    assert content_loss(formula, features, black).isfinite()
    assert style_loss(formula, gram(features), gram(black)).isfinite()


# ---- styles of another size, several of them, regions


def grams(state: dict[str, Tensor], pixels: Tensor) -> dict[str, Tensor]:
    found = plain_vgg.features(state, "vgg19", pixels, SMALL)
    return {layer: unnormalized_gram(f) / channels_and_positions(f)[1] for layer, f in found.items()}


@pytest.mark.parametrize(
    ("own", "scale", "size"),
    [
        ((160, 240), 1.0, (80, 120)),
        ((160, 240), 1.5, (120, 180)),
        ((80, 100), 1.0, (96, 120)),  # enlarged
        ((160, 240), 0.5, (64, 96)),  # to 60 it would be narrow
        ((120, 60), 0.5, (128, 64)),
        ((2, 8), 1.0, (64, 256)),
    ],
)
def test_a_style_is_resized_to_the_paintings_longer_side_but_never_narrow(
    tmp_path: Path,
    weights: Path,
    state: dict[str, Tensor],
    own: tuple[int, int],
    scale: float,
    size: tuple[int, int],
) -> None:
    photo, style = picture(80, 120, seed=1).double(), picture(*own, seed=2).double()
    check_resized(tmp_path, weights, state, photo, style, size, style_scale=scale)


@pytest.mark.parametrize(
    ("own", "size"),
    [
        ((64, 80), (80, 100)),  # to the size that is worked at
        ((88, 110), (88, 110)),  # not at all
        ((120, 150), (96, 120)),  # made smaller, as ever
    ],
)
def test_in_the_last_pass_a_style_is_not_enlarged_beyond_its_own_size_or_the_size_worked_at(
    tmp_path: Path, weights: Path, state: dict[str, Tensor], own: tuple[int, int], size: tuple[int, int]
) -> None:
    """The photo has 120 pixels, 100 are worked at."""
    photo, style = picture(80, 120, seed=1).double(), picture(*own, seed=2).double()
    check_resized(tmp_path, weights, state, photo, style, size, size=100)


def check_resized(
    tmp_path: Path,
    weights: Path,
    state: dict[str, Tensor],
    photo: Tensor,
    style: Tensor,
    expected: tuple[int, int],
    **options: object,
) -> None:
    layers = ("relu1_1", "relu2_1")
    path = save(tmp_path / "style.png", style)
    targets = objective(weights, photo, [path], style_layers=layers, content_layers=layers[1:], **options).style
    resized = torch.nn.functional.interpolate(style, expected, mode="bicubic", antialias=True).clamp(-1, 1)
    wanted = grams(state, resized if expected != style.shape[-2:] else style)
    for layer in layers:
        assert difference(targets[layer][0].gram, wanted[layer]) <= 1e-12


def test_to_keep_the_photos_colors_luminances_are_compared(
    tmp_path: Path, weights: Path, state: dict[str, Tensor]
) -> None:
    """The photo's, and the style's moved to its mean and deviation (equation 10 of "Preserving color")."""
    photo, style = (0.4 * picture(*SIZE, seed=1) + 0.2).double(), picture(64, 80, seed=2).double()
    path = save(tmp_path / "style.png", style)
    ours = objective(weights, photo, [path], color="photo", style_layers=SMALL, content_layers=("conv3_1",))
    weighted = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)
    a, b = ((x * weighted).sum(1, keepdim=True) for x in (style, photo))
    moved = (a - a.mean()) / a.std(correction=0) * b.std(correction=0) + b.mean()
    assert moved.abs().max() < 1
    content = plain_vgg.features(state, "vgg19", b.expand(-1, 3, -1, -1), ["conv3_1"])["conv3_1"]
    assert difference(ours.content["conv3_1"], content) <= 1e-12
    for layer, wanted in grams(state, moved.expand(-1, 3, -1, -1)).items():
        assert difference(ours.style[layer][0].gram, wanted) <= 1e-3  # but for counts less one


def test_two_styles_are_blended_by_their_weights(tmp_path: Path, weights: Path, state: dict[str, Tensor]) -> None:
    photo = picture(*SIZE, seed=1).double()
    one, other = picture(64, 64, seed=2).double(), picture(64, 80, seed=3).double()
    paths = [save(tmp_path / "one.png", one), save(tmp_path / "other.png", other)]
    options = {"style_layers": SMALL, "content_layers": ("conv3_1",)}
    a, b = grams(state, one), grams(state, other)
    for styles in ((paths[0], f"{paths[1]}:0.3"), (f"{paths[0]}:10", f"{paths[1]}:3")):
        for layer, targets in objective(weights, photo, styles, **options).style.items():
            assert difference(targets[0].gram, (a[layer] + 0.3 * b[layer]) / 1.3) <= 1e-12


def test_a_folder_of_styles_is_the_mean_of_its_grams(tmp_path: Path, weights: Path, state: dict[str, Tensor]) -> None:
    photo = picture(*SIZE, seed=1).double()
    (tmp_path / "artist" / "late").mkdir(parents=True)
    pictures = [picture(64, 64 + 8 * i, seed=i).double() for i in range(3)]
    for name, pixels in zip(("a.png", "b.png", "late/c.png"), pictures, strict=True):
        save(tmp_path / "artist" / name, pixels)
    single = picture(64, 64, seed=9).double()
    styles = [f"{tmp_path / 'artist'}:0.5", save(tmp_path / "single.png", single)]
    targets = objective(weights, photo, styles, style_layers=SMALL, content_layers=("conv3_1",)).style
    all_grams, alone = [grams(state, pixels) for pixels in pictures], grams(state, single)
    for layer in SMALL:
        mean = sum(g[layer] for g in all_grams) / 3
        assert difference(targets[layer][0].gram, (0.5 * mean + alone[layer]) / 1.5) <= 1e-12


def test_a_guide_of_ones_changes_nothing() -> None:
    features = torch.randn(1, 7, 5, 6, dtype=torch.float64)
    assert difference(gram(features, torch.ones(1, 1, 5, 6, dtype=torch.float64)), gram(features)) <= 1e-14


def test_a_mask_of_one_color_changes_nothing(tmp_path: Path, weights: Path) -> None:
    photo, painting = (picture(*SIZE, seed=seed).double() for seed in (1, 3))
    style = save(tmp_path / "style.png", picture(40, 48, seed=2))
    mask, style_mask = (save(tmp_path / f"{h}.png", -torch.ones(1, 3, h, 48)) for h in (32, 40))
    options = {"style_layers": SMALL, "content_layers": ("conv3_1",), "recipe": "gatys2016"}
    plain = objective(weights, photo, [style], **options)(painting)
    regions = masks(read_mask(mask, (48, 32), "the photo"))
    masked = objective(weights, photo, [style], regions, mask=mask, style_mask=(style_mask,), **options)(painting)
    assert difference(masked.style, plain.style) <= 1e-12


def test_regions_are_each_painted_in_the_style_of_their_color(
    tmp_path: Path, weights: Path, state: dict[str, Tensor]
) -> None:
    """Against a plain loop: guides by means of blocks, Grams of the guided features, weighted by area."""
    photo, painting = (picture(*SIZE, seed=seed).double() for seed in (1, 3))
    style = picture(80, 64, seed=2).double()
    mask = -torch.ones(1, 3, *SIZE)
    mask[..., 20:] = 1  # no multiple of 8: guides have edges between 0 and 1
    style_mask = -torch.ones(1, 3, 80, 64)
    style_mask[:, :, 38:] = 1
    paths = [save(tmp_path / f"{name}.png", x) for name, x in (("s", style), ("m", mask), ("sm", style_mask))]
    options = {"style_layers": SMALL, "content_layers": ("conv3_1",), "recipe": "gatys2016"}
    regions = masks(read_mask(paths[1], (48, 32), "the photo"))
    ours = objective(weights, photo, paths[:1], regions, mask=paths[1], style_mask=(paths[2],), **options)

    def guided_gram(features: Tensor, region: Tensor) -> Tensor:
        by = region.shape[0] // features.shape[2]
        rows, columns = region.shape[0] // by, region.shape[1] // by
        guide = region.reshape(rows, by, columns, by).mean((1, 3))
        return unnormalized_gram(features * guide) / (guide**2).sum()

    f, s = (plain_vgg.features(state, "vgg19", x, SMALL, pooling="avg") for x in (painting, style))
    wanted = torch.zeros((), dtype=torch.float64)
    for color in (-1, 1):
        here, there = ((x[0, 0] == color).double() for x in (mask, style_mask))
        for layer in SMALL:
            n = f[layer].shape[1]
            distance = square(guided_gram(f[layer], here) - guided_gram(s[layer], there)) / (4 * n**2)
            wanted = wanted + 1000 / 3 * float(here.mean()) * distance
    assert difference(ours(painting).style, wanted) <= 1e-12
