"""Style distance and content kept: against formulas written plainly, and on real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.data import DATA, VGG19_WEIGHTS, needs_data
from torch import Tensor

from artgan import images
from artgan.errors import WeightsError
from artgan.features import VGG19_LAYERS, load_vgg19
from artgan.metrics import style


@pytest.mark.numerical
def test_kernel_distance_is_the_double_sum_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 5)), rng.normal(0.5, 2, size=(9, 5))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 5 + 1) ** 3

    expected = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    expected += sum(k(y[i], y[j]) for i in range(9) for j in range(9) if i != j) / (9 * 8)
    expected -= 2 * sum(k(a, b) for a in x for b in y) / (7 * 9)
    assert style.kernel_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.numerical
def test_kernel_distance_is_unbiased() -> None:
    """Over many draws of one distribution its mean is 0 within three standard errors."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        return torch.randn(20, 4, generator=generator, dtype=torch.float64)

    values = np.array([style.kernel_distance(draw(), draw()) for _ in range(400)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert values.min() < 0


@pytest.mark.parametrize(("rows", "width"), [((1, 3), (4, 4)), ((3, 3), (4, 5))])
def test_kernel_distance_needs_two_rows_of_one_width(rows: tuple[int, int], width: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        style.kernel_distance(torch.zeros(rows[0], width[0]), torch.zeros(rows[1], width[1]))


@pytest.mark.numerical
def test_standardize_uses_the_reference_sets_together() -> None:
    a, b, c = torch.randn(5, 3), torch.randn(4, 3) + 2, torch.randn(6, 3)
    x, y, z = style.standardize([a, b], a, b, c)
    together = torch.cat([x, y])
    torch.testing.assert_close(together.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(together.std(0), torch.ones(3))
    both = torch.cat([a, b])
    torch.testing.assert_close(z, (c - both.mean(0)) / both.std(0))


@pytest.mark.numerical
def test_filter_statistics_are_what_they_say() -> None:
    flat = style.filter_statistics(torch.full((1, 3, 32, 32), 0.5))
    assert flat.shape == (1, 78)
    assert flat[0, 0] == pytest.approx(0.5)  # the mean gray
    assert flat[0, 1:].abs().max() < 1e-6  # no color, no deviation, no edges
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::2] = 1.0  # every horizontal step is 1, every vertical one 0
    across, down = style.filter_statistics(stripes)[0, 6:12], style.filter_statistics(stripes)[0, 12:18]
    assert across[0] == pytest.approx(1.0, abs=1e-6)
    assert down.abs().max() < 1e-6


def vgg_file(path: Path, **changes: Tensor) -> Path:
    """VGG-19's first block with random weights, as timm names them."""
    state = {"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.randn(64)}
    state |= {"features.2.weight": torch.randn(64, 64, 3, 3), "features.2.bias": torch.randn(64)}
    save_file({**state, **changes}, path)
    return path


@pytest.mark.numerical
def test_vgg19_is_timms(tmp_path: Path) -> None:
    """The features are those of timm's network with the same random weights, at every layer."""
    import timm

    torch.manual_seed(0)
    with torch.device("meta"):
        network = timm.create_model("vgg19").features
    state = {
        f"features.{key}": torch.randn(value.shape) * (0.02 if key.endswith("weight") else 0.1)
        for key, value in network.state_dict().items()
    }
    save_file(state, tmp_path / "vgg.safetensors")
    network.load_state_dict({key.removeprefix("features."): value for key, value in state.items()}, assign=True)
    layers = list(VGG19_LAYERS)
    pictures = torch.rand(1, 3, 32, 32) * 2 - 1
    x = ((pictures + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(1, 3, 1, 1)
    expected = []
    for layer in network.eval():
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            expected.append(x.clone())
    features = load_vgg19(layers, tmp_path / "vgg.safetensors")(pictures)
    assert len(features) == len(expected) == 16
    for ours, theirs in zip(features, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_vgg19_weights_with_faults_are_told(tmp_path: Path) -> None:
    good = vgg_file(tmp_path / "good.safetensors")
    assert load_vgg19(["conv1_2"], good).channels == (64,)
    with pytest.raises(WeightsError, match=r"good.safetensors: lacks features.5.weight, VGG-19's conv2_1"):
        load_vgg19(["conv2_1"], good)
    odd = vgg_file(tmp_path / "odd.safetensors", **{"features.2.bias": torch.randn(65)})
    with pytest.raises(WeightsError, match=r"another shape \(\(65,\)\) of features.2.bias"):
        load_vgg19(["conv1_2"], odd)
    (tmp_path / "no.safetensors").write_bytes(b"pickle")
    for name in ("no.safetensors", "absent.safetensors"):
        with pytest.raises(WeightsError, match=name):
            load_vgg19(["conv1_1"], tmp_path / name)
    with pytest.raises(ValueError, match="not conv6_1"):
        load_vgg19(["conv6_1"], good)


def pictures(folder: str, count: int) -> list[Tensor]:
    paths = sorted((DATA / folder).iterdir())
    return [images.to_tensor(images.decode(path).rgb) for path in paths[:: len(paths) // count][:count]]


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
@pytest.mark.numerical
def test_real_pictures_are_near_themselves_and_far_from_photos() -> None:
    vgg19 = load_vgg19(style.STYLE_LAYERS, VGG19_WEIGHTS)
    with torch.inference_mode():
        monets, photos = (
            torch.cat([style.statistics(vgg19(p[None, :, 64:192, 64:192])).double() for p in pictures(name, 60)])
            for name in ("monet", "photo")
        )
    of_photos, of_monets = style.standardize([monets, photos], photos, monets)
    order = torch.randperm(len(of_monets), generator=torch.Generator().manual_seed(0))
    assert abs(style.kernel_distance(of_monets[order[:30]], of_monets[order[30:]])) < 0.3
    assert style.kernel_distance(of_photos, of_monets) > 0.6


@needs_data
@pytest.mark.slow
@pytest.mark.numerical
def test_content_is_kept_by_the_picture_itself_and_lost_by_another() -> None:
    vgg19 = load_vgg19([style.CONTENT_LAYER], VGG19_WEIGHTS)
    photo, other = pictures("photo", 2)
    softened = images.to_rgb(photo).resize((128, 128), Image.Resampling.BICUBIC).resize((256, 256))
    (features,) = vgg19(torch.stack([photo, other, images.to_tensor(softened)]))
    same, unlike, near = style.content_kept(features[:1].expand_as(features), features)[[0, 1, 2]].tolist()
    assert same == pytest.approx(1.0, abs=1e-5)
    assert unlike < 0.6 < near < 1
