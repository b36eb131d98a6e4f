"""Scores of style, of variety and of content kept: against formulas written plainly, and on real pictures."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.data import DATA, VGG19_WEIGHTS, needs_data
from torch import Tensor

from artgan import images
from artgan.features import VGG19, VGG19_LAYERS
from artgan.metrics import batching, style
from artgan.metrics.extractors import load_extractor
from artgan.metrics.intervals import Z95
from artgan.metrics.names import resolve_metric
from artgan.metrics.perceptual import LAYERS, ContentKept, Diversity, _mean_and_error, load_perceptual
from artgan.metrics.style_distance import DeepStyle, FilterStyle, Style

pytestmark = pytest.mark.numerical


def pictures(folder: str, count: int, side: int = 256) -> Tensor:
    """The middles of some pictures, N x 3 x S x S."""
    paths = sorted((DATA / folder).iterdir())
    chosen = paths[:: len(paths) // count][:count]
    return torch.stack([images.to_tensor(images.decode(p).rgb.crop((0, 0, side, side))) for p in chosen])


# ---- the style distance


def sample(n: int, shift: float, seed: int, width: int = 5) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_the_error_of_the_kernel_distance_is_the_jackknifes() -> None:
    """Row sums give what leaving out one picture after the other gives."""
    x, y = sample(7, 0, 0), sample(9, 0.7, 1)
    without_x = [style.kernel_distance(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(7)]
    without_y = [style.kernel_distance(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(9)]
    expected = np.sqrt(6 * np.var(without_x) + 8 * np.var(without_y))
    assert style.kernel_distance_error(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_interval_holds_the_distance_of_the_distributions(shift: float) -> None:
    """In 95 of 100 draws, or in more: the estimate is unbiased, so that its mean over all draws is the truth."""
    draws = [(sample(40, 0, 2 * i), sample(30, shift, 2 * i + 1)) for i in range(300)]
    values = np.array([style.kernel_distance(x, y) for x, y in draws])
    errors = np.array([style.kernel_distance_error(x, y) for x, y in draws])
    covered = np.mean(np.abs(values - values.mean()) < 1.96 * errors)
    # 0.88 to 0.96 of 300 draws, by the seed; with errors half as large 0.67.
    assert covered > 0.78
    assert values.var() < 1.5 * np.mean(errors**2)
    assert np.mean(errors**2) < 3 * values.var()


def test_kernel_sums_are_the_same_in_batches() -> None:
    """More rows than one block holds."""
    x, y = sample(1500, 0, 0, width=3), sample(1100, 0.2, 1, width=3)
    gram = [(a @ b.T / 3 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    within = [(g.sum() - g.trace()) / (len(g) * (len(g) - 1)) for g in gram[:2]]
    assert style.kernel_distance(x, y) == pytest.approx(float(within[0] + within[1] - 2 * gram[2].mean()), rel=1e-9)


def test_a_channel_that_no_reference_wakes_is_only_centred() -> None:
    """Else one such channel would be all that a distance sees."""
    reference, other = sample(6, 0, 0), sample(6, 0, 1)
    reference[:, 2], other[:, 2] = 0.25, 0.75
    assert style.standardize([reference], other)[0][:, 2].tolist() == pytest.approx([0.5] * 6)


def test_style_is_measured_in_units_of_the_real_pictures_and_the_photos() -> None:
    real, fake, photos = (sample(n, shift, n).float() for n, shift in ((12, 0.0), (10, 0.5), (11, 1.0)))
    (score,) = Style().evaluate(real, fake, photos)
    x, y, z = style.standardize([real.double(), photos.double()], real.double(), fake.double(), photos.double())
    assert score.value == pytest.approx(style.kernel_distance(y, x), rel=1e-9)
    assert score.details["inputs"] == pytest.approx(style.kernel_distance(z, x), rel=1e-9)
    assert score.details["standardized by"] == "real pictures and inputs"
    assert score.n == (12, 10)
    assert not score.notes
    assert score.interval is not None
    assert score.interval[0] < score.value < score.interval[1]


def test_style_without_photos_says_that_its_unit_is_another() -> None:
    real, fake = sample(12, 0, 0).float(), sample(10, 0.5, 1).float()
    (score,) = Style().evaluate(real, fake)
    x, y = style.standardize([real.double(), fake.double()], real.double(), fake.double())
    assert score.value == pytest.approx(style.kernel_distance(y, x), rel=1e-9)
    assert score.details["standardized by"] == "real and generated pictures"
    assert "inputs" not in score.details
    assert "not comparable" in score.notes[0]


def test_style_is_the_same_in_batches_as_of_whole_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the same arithmetic on whole sets."""
    real, fake, photos = (sample(n, shift, n, width=9).float() * 50 + 200 for n, shift in ((40, 0), (35, 0.5), (31, 1)))
    monkeypatch.setattr(batching, "BATCH_ROWS", 7)
    for inputs in (None, photos):
        (score,) = Style().evaluate(real, fake, inputs)
        together = torch.cat([real, fake if inputs is None else inputs]).double()
        x, y, z = ((s.double() - together.mean(0)) / together.std(0) for s in (real, fake, photos))
        first, second = x[torch.randperm(40, generator=torch.Generator().manual_seed(0))].chunk(2)
        monkeypatch.setattr(batching, "BATCH_ROWS", 1000)
        assert score.value == pytest.approx(style.kernel_distance(y, x), rel=1e-9)
        assert score.details["real halves"] == pytest.approx(style.kernel_distance(first, second), rel=1e-9)
        if inputs is not None:
            assert score.details["inputs"] == pytest.approx(style.kernel_distance(z, x), rel=1e-9)
        error = style.kernel_distance_error(y, x)
        assert score.interval == pytest.approx((score.value - Z95 * error, score.value + Z95 * error), rel=1e-9)


def test_style_reads_features_that_lie_on_disk(tmp_path: Path) -> None:
    real, fake = sample(12, 0, 0).float(), sample(10, 0.5, 1).float()
    np.save(tmp_path / "real.npy", real.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "real.npy", mmap_mode="c"))
    assert Style().evaluate(mapped, fake) == Style().evaluate(real, fake)
    assert torch.equal(mapped, real)  # as they were


@pytest.mark.parametrize(
    ("n", "message"),
    [
        ((3, 9, 9), "at least 4 real pictures, got 3"),
        ((9, 3, 9), "at least 4 generated pictures, got 3"),
        ((9, 9, 1), "at least 2 input pictures, got 1"),
    ],
)
def test_style_needs_some_pictures(n: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Style().evaluate(*(torch.randn(count, 3) for count in n))


def test_the_names_are_those_that_are_asked_for() -> None:
    for cls in (Style, DeepStyle, FilterStyle, Diversity, ContentKept):
        assert resolve_metric(cls.name) is cls


def test_filter_style_of_pictures_is_that_of_their_statistics() -> None:
    """Through the extractor, batch by batch, by way of 8 bits."""
    torch.manual_seed(0)
    real, fake = torch.rand(6, 3, 32, 32) * 2 - 1, torch.rand(5, 3, 32, 32) - 0.5
    metric = FilterStyle(load_extractor("filters", size=32))
    for batch, is_real in ((real[:4], True), (fake, False), (real[4:], True)):
        metric.update(batch, real=is_real)
    x, y = (
        style.filter_statistics(torch.stack([images.to_tensor(images.to_rgb(p)) for p in s])).double()
        for s in (real, fake)
    )
    x, y = style.standardize([x, y], x, y)
    score = metric.compute()
    assert score.value == pytest.approx(style.kernel_distance(x, y), rel=1e-6)
    assert score.details["extractor"] == "filters"


# ---- place by place


@pytest.fixture(scope="module")
def network() -> VGG19:
    """VGG-19's shape with random weights."""
    generator = torch.Generator().manual_seed(0)
    state, channels = {}, 3
    for layer, index in VGG19_LAYERS.items():
        wider = min(64 * 2 ** (int(layer[4]) - 1), 512)
        scale = (2 / (9 * channels)) ** 0.5
        state[f"{index}.weight"] = torch.randn(wider, channels, 3, 3, generator=generator) * scale
        state[f"{index}.bias"] = torch.randn(wider, generator=generator) * 0.1
        channels = wider
        if layer == "conv4_4":
            break
    return VGG19(state, [*LAYERS, style.CONTENT_LAYER]).eval()


def squares(n: int, seed: int) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def diversity(network: VGG19, real: Tensor, fake: Tensor, *, batch: int = 100) -> Diversity:
    metric = Diversity(network)
    for of_set, is_real in ((real, True), (fake, False)):
        for part in torch.split(of_set, batch):
            metric.update(part, real=is_real)
    return metric


def test_diversity_is_the_formula_of_zhang_written_plainly(network: VGG19) -> None:
    real, fake = squares(5, 0), squares(4, 1) / 3

    def distance(a: Tensor, b: Tensor) -> float:
        features = (network(p[None]) for p in (a, b))
        layers = []
        for name, x, y in zip(network.layers, *features, strict=True):
            if name in LAYERS:
                x, y = (m[0].double().numpy() for m in (x, y))
                places = [
                    sum((x[:, i, j] / np.linalg.norm(x[:, i, j]) - y[:, i, j] / np.linalg.norm(y[:, i, j])) ** 2)
                    for i in range(x.shape[1])
                    for j in range(x.shape[2])
                ]
                layers.append(np.mean(places))
        assert len(layers) == 4
        return float(np.mean(layers))

    means = [np.mean([distance(a, b) for a, b in pairwise(s)]) for s in (real, fake)]
    score = diversity(network, real, fake).compute()
    assert (score.details["real"], score.details["generated"]) == pytest.approx(tuple(means), rel=1e-4)
    assert score.value == pytest.approx(means[1] / means[0], rel=1e-4)
    assert score.n == (5, 4)
    told = {name: score.details[name] for name in ("extractor", "resize", "weights")}
    assert told == {"extractor": "vgg19", "resize": "pictures of 16 x 16", "weights": None}


def test_diversity_is_the_same_whatever_the_batches(network: VGG19) -> None:
    real, fake = squares(7, 0), squares(5, 1)
    at_once = diversity(network, real, fake).compute()
    for batch in (1, 3):
        in_parts = diversity(network, real, fake, batch=batch).compute()
        assert in_parts.value == pytest.approx(at_once.value, rel=1e-5)
        assert in_parts.interval == pytest.approx(at_once.interval, rel=1e-4)
        assert in_parts.n == (7, 5)


def test_a_collapsed_generator_has_no_diversity_and_the_real_pictures_have_theirs(network: VGG19) -> None:
    real = squares(5, 0)
    assert diversity(network, real, real).compute().value == pytest.approx(1)
    assert diversity(network, real, real[:1].expand(4, -1, -1, -1)).compute().value == pytest.approx(0, abs=1e-9)


def test_diversity_refuses_what_has_none(network: VGG19) -> None:
    with pytest.raises(ValueError, match="at least 3 generated pictures, got 2"):
        diversity(network, squares(3, 0), squares(2, 1)).compute()
    with pytest.raises(ValueError, match="real pictures are all the same"):
        diversity(network, squares(1, 0).expand(3, -1, -1, -1), squares(3, 1), batch=1).compute()
    metric = diversity(network, squares(3, 0), squares(3, 1))
    with pytest.raises(ValueError, match="same size"):
        metric.update(torch.zeros(1, 3, 32, 32), real=False)


def test_the_error_of_neighboring_pairs_is_that_of_their_mean() -> None:
    """Series of which each number shares a part with the next one, as distances of neighbors do."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        noise = rng.normal(size=101)
        found.append(_mean_and_error((noise[1:] + noise[:-1]).tolist()))
    means, errors = np.array(found).T
    assert errors.mean() == pytest.approx(means.std(), rel=0.2)  # five standard errors of 400
    assert np.mean(np.abs(means) < 1.96 * errors) > 0.86


def test_content_is_compared_photo_by_painting_whatever_the_batches(network: VGG19) -> None:
    photos, paintings = squares(6, 0), squares(6, 1)
    place = network.layers.index(style.CONTENT_LAYER)
    a, b = network(photos)[place].flatten(1), network(paintings)[place].flatten(1)
    expected = F.cosine_similarity(a, b)
    metric = ContentKept(network)
    for batch, real in (
        (photos[:4], True),
        (paintings[:1], False),
        (photos[4:], True),
        (paintings[1:5], False),
        (paintings[5:], False),
    ):
        metric.update(batch, real=real)
    score = metric.compute()
    assert score.value == pytest.approx(float(expected.mean()), rel=1e-5)
    half = 1.96 * float(expected.std()) / 6**0.5
    assert score.interval == pytest.approx((score.value - half, score.value + half), rel=1e-4)
    assert score.n == (6, 6)


def test_place_by_place_scores_of_damaged_weights_are_refused(network: VGG19) -> None:
    damaged = copy.deepcopy(network)
    damaged.bias5[7] = math.nan
    for cls in (Diversity, ContentKept):
        with pytest.raises(ValueError, match="the features are not finite; are the weights intact"):
            cls(damaged).update(squares(2, 0), real=True)


def test_a_photo_keeps_all_of_itself(network: VGG19) -> None:
    metric = ContentKept(network)
    metric.update(squares(3, 0), real=True)
    metric.update(squares(3, 0), real=False)
    assert metric.compute().value == pytest.approx(1)


def test_content_refuses_what_does_not_belong_together(network: VGG19) -> None:
    metric = ContentKept(network)
    metric.update(squares(3, 0), real=True)
    metric.update(squares(1, 1), real=False)
    with pytest.raises(ValueError, match="2 photos were given without their painting"):
        metric.compute()
    metric.update(squares(3, 1), real=False)
    with pytest.raises(ValueError, match="1 paintings were given without their photo"):
        metric.compute()
    with pytest.raises(ValueError, match="photo 4 and its painting differ in size"):
        metric.update(torch.zeros(1, 3, 32, 32), real=True)
    alone = ContentKept(network)
    alone.update(squares(1, 0), real=True)
    alone.update(squares(1, 1), real=False)
    with pytest.raises(ValueError, match="at least 2 photos and their paintings, got 1"):
        alone.compute()


@needs_data
@pytest.mark.slow
def test_pieces_of_one_painting_are_less_diverse_than_paintings() -> None:
    network = load_perceptual(VGG19_WEIGHTS)
    monets = pictures("monet", 9, side=128)
    one = pictures("monet", 1)[0]
    pieces = torch.stack([one[:, y : y + 128, x : x + 128] for y in (0, 64, 128) for x in (0, 64, 128)])
    score = diversity(network, monets, pieces, batch=4).compute()
    assert score.interval is not None
    assert 0.1 < score.value < score.interval[1] < 1
