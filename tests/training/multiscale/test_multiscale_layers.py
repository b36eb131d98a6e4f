"""Pixel norm, minibatch standard deviation and equalized learning rates against the formulas of Karras et al., 2018."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from artgan.training.adversarial import normalize_spectrally
from artgan.training.multiscale.layers import MinibatchDeviation, PixelNorm, equalize

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (4, 7)])
def test_pixel_norm_divides_by_the_root_mean_square_over_channels(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(0, 3, shape)
    expected = x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(PixelNorm()(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)


def test_pixel_norm_in_half_precision_neither_overflows_nor_divides_by_zero() -> None:
    x = torch.tensor([[600.0, 800.0], [0.0, 0.0]], dtype=torch.float16)  # squares beyond float16
    normed = PixelNorm()(x)
    assert normed.dtype == torch.float16
    torch.testing.assert_close(normed[0].float(), torch.tensor([0.6, 0.8]) * math.sqrt(2), rtol=1e-3, atol=0)
    assert torch.equal(normed[1], torch.zeros(2, dtype=torch.float16))


def test_the_deviation_is_that_of_the_batch_averaged_over_channels_and_pixels() -> None:
    x = np.random.default_rng(1).normal(2, 0.5, (6, 4, 3, 5))
    made = MinibatchDeviation()(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(made[:, :4], x)
    expected = np.sqrt(np.var(x, axis=0) + 1e-8).mean()
    np.testing.assert_allclose(made[:, 4], np.full((6, 3, 5), expected), rtol=1e-12)


def test_equal_pictures_have_no_deviation_and_a_finite_gradient() -> None:
    x = torch.full((3, 2, 4, 4), 0.7, requires_grad=True)
    made = MinibatchDeviation()(x)[:, 2]
    torch.testing.assert_close(made, torch.full_like(made, 1e-4))  # the root of the paper's epsilon
    made.sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_in_evaluation_mode_the_running_mean_is_appended() -> None:
    layer = MinibatchDeviation(momentum=0.25)
    pair = torch.tensor([3.0, -3.0]).view(2, 1, 1, 1)  # a deviation of 3
    for _ in range(2):
        layer(pair)
    layer.eval()
    other = torch.randn(5, 1, 2, 2)
    expected = torch.full((5, 2, 2), 3 * (1 - 0.75**2))
    torch.testing.assert_close(layer(other)[:, 1], expected)
    torch.testing.assert_close(layer(other[:1])[:, 1], expected[:1])
    assert float(layer.mean) == pytest.approx(3 * (1 - 0.75**2))  # evaluation changes nothing


LAYERS = {
    "linear": (lambda: nn.Linear(50, 400), 50.0),
    "convolution": (lambda: nn.Conv2d(8, 64, 3, padding=1), 8 * 9.0),
    "grouped convolution": (lambda: nn.Conv2d(8, 64, 3, padding=1, groups=2), 4 * 9.0),
    "transposed convolution": (lambda: nn.ConvTranspose2d(8, 64, 4, stride=2, padding=1), 8 * 16 / 4),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_equalized_weights_are_standard_normal_times_hes_constant(kind: str) -> None:
    torch.manual_seed(0)
    make, fan_in = LAYERS[kind]
    layer = make()
    equalize(layer)
    stored = layer.parametrizations.weight.original
    assert float(stored.detach().std()) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(layer.weight, stored * math.sqrt(2 / fan_in))
    assert not layer.bias.detach().any()
    # The constant keeps the mean square of a signal behind a ReLU, which halves it: an independent reading of "fan in".
    x = torch.randn(64, 50) if kind == "linear" else torch.randn(8, 8, 16, 16)
    made = layer(x).detach()
    inside = made if kind == "linear" else made[:, :, 2:-2, 2:-2]
    assert float(inside.relu().square().mean()) == pytest.approx(1, rel=0.1)


def test_equalized_layers_learn_at_one_relative_speed() -> None:
    """Adam's first step is lr in each stored weight, whatever its gradient: lr times the constant in the used one."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(300, 40), nn.Linear(40, 3))
    equalize(network, gain=1.0)
    before = [layer.weight.detach().clone() for layer in network]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2, eps=1e-30)
    network(torch.randn(16, 300)).square().sum().backward()
    optimizer.step()
    for layer, weight in zip(network, before, strict=True):
        change = (layer.weight.detach() - weight).abs()
        torch.testing.assert_close(
            change, torch.full_like(change, 1e-2 / math.sqrt(layer.in_features)), rtol=1e-3, atol=0
        )


def test_spectral_norm_is_that_of_the_weight_that_is_used() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(30, 20)
    equalize(layer)
    normalize_spectrally(layer)
    for _ in range(100):  # one power iteration each
        layer(torch.zeros(1, 30))
    assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, rel=1e-4)
    parts = len(layer.parametrizations.weight)
    normalize_spectrally(layer)
    assert len(layer.parametrizations.weight) == parts
