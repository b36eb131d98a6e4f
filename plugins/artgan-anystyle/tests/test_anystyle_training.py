"""The losses against their formulas, the styles that are made up, and that training learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from artgan_anystyle.config import AnyStyleConfig
from artgan_anystyle.generator import AnyStyleGenerator, build
from artgan_anystyle.losses import content_distance, gram, gram_distance, moments_distance, sliced_distance
from artgan_anystyle.networks import StyleEncoder
from artgan_anystyle.styles import magnified, recolored, textures
from artgan_anystyle.trainer import AnyStyleTrainer
from support.spots import some_pictures
from torch import Tensor

from artgan.toolkit import Run


def features(seed: int, channels: int = 5, side: int = 12) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(seed))


def test_content_is_one_minus_the_correlation_of_channels() -> None:
    made, other = features(0), features(1)
    correlations = [
        np.corrcoef(made[n, c].flatten().numpy(), other[n, c].flatten().numpy())[0, 1]
        for n in range(2)
        for c in range(5)
    ]
    assert float(content_distance(made, other)) == pytest.approx(1 - np.mean(correlations), abs=1e-3)
    assert float(content_distance(3 * made + 1, made)) == pytest.approx(0, abs=1e-3)


def test_gram_matrices_are_compared_as_gatys_does() -> None:
    made, style = features(0), features(1)
    wanted = []
    for a, b in zip(made.flatten(2).double().numpy(), style.flatten(2).double().numpy(), strict=True):
        ours, theirs = a @ a.T / 144, b @ b.T / 144
        wanted.append(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    assert float(gram_distance(made, style)) == pytest.approx(np.mean(np.log1p(wanted)), rel=1e-3)
    assert float(gram_distance(style, style)) <= 1.1e-3
    assert gram(made).shape == (2, 5, 5)


def test_moments_are_means_and_deviations() -> None:
    made, style = features(0), features(1)
    wanted = []
    for a, b in zip(made.flatten(2).double().numpy(), style.flatten(2).double().numpy(), strict=True):
        ours, theirs = (np.concatenate([x.mean(1), x.std(1)]) for x in (a, b))
        wanted.append(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    assert float(moments_distance(made, style)) == pytest.approx(np.mean(np.log1p(wanted)), rel=1e-3)


def test_sliced_distance_forgets_places_and_sees_shifts() -> None:
    style = features(1)
    shuffled = style.flatten(2)[:, :, torch.randperm(144)].reshape(style.shape)
    assert float(sliced_distance(shuffled, style)) <= 1e-6
    near, far = (float(sliced_distance(style + shift, style)) for shift in (0.1, 0.4))
    assert far == pytest.approx(4 * near, rel=0.5)


def test_the_code_begins_with_the_colors() -> None:
    picture = some_pictures(1, 64, 64, seed=3)
    code = StyleEncoder(4, 16)(picture)[0]
    red, green, blue = picture[0].flatten(1).double().numpy()
    lightness, redness, yellowness = red + green + blue, red - green, red + green - 2 * blue
    rows = np.stack([lightness / 3**0.5, redness / 2**0.5, yellowness / 6**0.5])
    covariances = np.cov(rows, ddof=0)
    wanted = [*rows.mean(1), *rows.std(1), covariances[0, 1], covariances[1, 2], covariances[2, 0]]
    assert code[:9].tolist() == pytest.approx(wanted, abs=1e-3)
    assert code[9:].mean().item() == pytest.approx(0, abs=1e-5)
    assert code[9:].std(correction=0).item() == pytest.approx(1, abs=1e-2)


def test_equal_weights_of_pixels_are_no_weights() -> None:
    torch.manual_seed(0)
    encoder, picture = StyleEncoder(4, 16), some_pictures(2, 64, 48, seed=3)
    assert torch.allclose(encoder(picture), encoder(picture, torch.ones(2, 1, 64, 48)), atol=1e-4)


def test_styles_are_varied_as_asked() -> None:
    pictures = some_pictures(6, 64, 64, seed=2)
    assert torch.equal(recolored(pictures, 0), pictures)
    assert torch.allclose(magnified(pictures, 0), pictures, atol=1e-4)
    for changed in (recolored(pictures, 1), magnified(pictures, 1)):
        assert changed.shape == pictures.shape
        assert changed.abs().max() <= 1 + 1e-5
        assert (changed - pictures).abs().flatten(1).mean(1).min() > 1e-3
    made = textures(4, 64, pictures)
    assert made.shape == (4, 3, 64, 64)
    assert made.abs().max() <= 1
    assert (made[0] - made[1]).abs().mean() > 1e-2


@pytest.mark.exhaustive
def test_training_comes_nearer_to_the_style(vgg19: Path) -> None:
    torch.manual_seed(0)
    plain = {"made_up": 0.0, "recolored": 0.0, "magnified": 0.0, "scales": 1}
    config = AnyStyleConfig(width=8, blocks=1, encoder_width=4, code=16, lr=5e-3, vgg19=str(vgg19), **plain)
    networks = build(config)
    trainer = AnyStyleTrainer(networks, config, Run(steps=40))
    batch = {"photos": some_pictures(2, 32, 32, seed=1), "styles": torch.rand(2, 3, 32, 32) * 2 - 1}
    losses = [float(trainer.step(batch, index)["gram/paintings"]) for index in range(40)]
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:4])
    assert networks.generators["paintings"].get_buffer("style").abs().sum() > 0  # the mean code


def test_training_begins_with_the_photo_in_the_styles_colors() -> None:
    torch.manual_seed(0)
    photos, styles = some_pictures(2, 64, 64, seed=1) / 2, some_pictures(2, 64, 64, seed=2) / 2
    generator = build(AnyStyleConfig(width=8, blocks=1, encoder_width=4, code=16)).generators["paintings"].eval()
    assert isinstance(generator, AnyStyleGenerator)
    torch.nn.init.zeros_(generator.painter.output.weight)
    made = generator.paint(photos, [(generator.encoder(styles), None)])
    assert torch.allclose(made.mean((2, 3)), styles.mean((2, 3)), atol=2e-2)
    assert torch.allclose(made.std((2, 3)), styles.std((2, 3)), rtol=0.1)
    correlation = torch.corrcoef(torch.stack([made[0, 0].flatten(), photos[0, 0].flatten()]))[0, 1]
    assert correlation > 0.95
