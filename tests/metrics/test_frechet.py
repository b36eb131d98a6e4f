"""The Frechet distance against torch-fidelity, 50 digits and closed forms; and torch-fidelity's scores end to end."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
import torch_fidelity
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from artgan.interfaces import Score
from artgan.metrics import batching
from artgan.metrics.evaluation import Evaluator
from artgan.metrics.extractors import Inception, load_extractor
from artgan.metrics.frechet import FID, Comparison, FIDInfinity, Sample, frechet_distance

pytestmark = pytest.mark.numerical

REAL, FAKE = 24, 20


def reference(real: Tensor, fake: Tensor) -> float:
    """torch-fidelity's FID of features."""
    statistics = [fid_features_to_statistics(rows.double()) for rows in (real, fake)]
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


def exact(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance in 50 digits."""
    with mpmath.workdps(50):
        centered, means = [], []
        for rows in (real, fake):
            matrix = mpmath.matrix(rows.double().tolist())
            n, width = matrix.rows, matrix.cols
            mean = [mpmath.fsum(matrix[i, j] for i in range(n)) / n for j in range(width)]
            root = mpmath.sqrt(n - 1)
            centered.append(mpmath.matrix(n, width))
            for i in range(n):
                for j in range(width):
                    centered[-1][i, j] = (matrix[i, j] - mean[j]) / root
            means.append(mean)
        shift = mpmath.fsum((a - b) ** 2 for a, b in zip(*means, strict=True))
        traces = mpmath.fsum(x**2 for c in centered for x in c)
        return float(shift + traces - 2 * mpmath.fsum(mpmath.svd_r(centered[0] * centered[1].T, compute_uv=False)))


def normal(n: int, width: int, seed: int, *, decay: float = 0.7) -> Tensor:
    """Rows of a normal distribution whose variances fall off, turned about."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=generator)).Q
    scale = torch.arange(1, width + 1).double() ** -decay
    return (torch.randn(n, width, dtype=torch.float64, generator=generator) * scale) @ turn


# ---- against torch-fidelity, from pictures to scores


@pytest.fixture(scope="module")
def inception() -> dict[str, Tensor]:
    """Random weights of the Inception network, such that features differ from picture to picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        shapes = FeatureExtractorInceptionV3("shapes", ["2048"], empty).state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, value in shapes.items():
        state[name] = value.clone()
        if value.ndim == 4:
            state[name] = torch.randn(value.shape, generator=generator) * math.sqrt(2 / value[0].numel())
        if name == "fc.weight":
            state[name] = torch.randn(value.shape, generator=generator) * 0.1
        if name.startswith("Mixed_7c") and name.endswith("bn.weight"):
            state[name] *= 2
    return state


@pytest.fixture(scope="module")
def both(inception: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Score], Any]:
    """artgan's scores by name and torch-fidelity's, of two folders of pictures and one network."""
    folder = tmp_path_factory.mktemp("scores")
    rng = np.random.default_rng(0)
    for kind, count, darkest in (("real", REAL, 0), ("fake", FAKE, 100)):
        (folder / kind).mkdir()
        for number in range(count):
            pixels = Image.fromarray(rng.integers(darkest, 256, (8, 8, 3), np.uint8))
            pixels.resize((64, 48), Image.Resampling.BICUBIC).save(folder / kind / f"{number:02}.png")
    torch.save(inception, folder / "inception.pth")
    save_file(inception, folder / "inception.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        evaluator = Evaluator(real=folder / "real", inception=folder / "inception.safetensors", size=48)
        evaluation = evaluator.evaluate(folder / "fake", ["fid", "kid", "is"])
    assert not evaluation.failed
    theirs = torch_fidelity.calculate_metrics(
        input1=str(folder / "fake"),
        input2=str(folder / "real"),
        fid=True,
        kid=True,
        isc=True,
        kid_subset_size=FAKE,
        feature_extractor_weights_path=str(folder / "inception.pth"),
        batch_size=8,
        cuda=False,
        cache=False,
        verbose=False,
    )
    return {score.name: score for score in evaluation.scores}, theirs


@pytest.mark.slow
def test_fid_of_pictures_is_torch_fidelitys(both: tuple[dict[str, Score], Any]) -> None:
    """To its own error: it multiplies covariances of rank 19 of 2048."""
    ours, theirs = both
    assert ours["fid"].n == (REAL, FAKE)
    assert ours["fid"].value == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["fid"].value > 1e-3


@pytest.mark.slow
def test_inception_sees_patches_one_by_one(inception: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(inception, tmp_path / "inception.safetensors")
    alone, patches = (
        load_extractor(f"inception{end}", {"inception": tmp_path / "inception.safetensors"}, size=128)
        for end in ("", "-patches")
    )
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))
    with torch.inference_mode():
        found = patches(patches.prepare(picture)[None]).reshape(4, 2048)
        expected = alone(alone.prepare(picture.crop((64, 0, 128, 64)))[None])[0, :2048]
    torch.testing.assert_close(found[1], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_kid_of_pictures_is_torch_fidelitys(both: tuple[dict[str, Score], Any]) -> None:
    """To the float32 in which it multiplies features."""
    ours, theirs = both
    assert ours["kid"].value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)


@pytest.mark.slow
def test_inception_score_of_pictures_is_torch_fidelitys(both: tuple[dict[str, Score], Any]) -> None:
    ours, theirs = both
    assert ours["is"].value > 1.005
    assert ours["is"].value - 1 == pytest.approx(theirs["inception_score_mean"] - 1, rel=1e-4)
    assert ours["is"].details["deviation"] == pytest.approx(theirs["inception_score_std"], rel=1e-3)


def test_the_clean_resize_is_pillows_in_floating_point_between_0_and_255(
    inception: dict[str, Tensor], tmp_path: Path
) -> None:
    """As clean-fid does it: band by band, and what bicubic weights let overshoot is clipped."""
    save_file(inception, tmp_path / "inception.safetensors")
    extractor = Inception(tmp_path / "inception.safetensors", clean=True)
    pixels = (np.random.default_rng(0).integers(0, 2, (40, 50, 3)) * 255).astype(np.uint8)
    bands = [Image.fromarray(pixels[..., i].astype(np.float32), "F") for i in range(3)]
    resized = np.stack([np.asarray(band.resize((299, 299), Image.Resampling.BICUBIC)) for band in bands])
    assert resized.min() < -20
    assert resized.max() > 275
    prepared = extractor.prepare(Image.fromarray(pixels))
    assert torch.equal(prepared, torch.from_numpy(np.clip(resized, 0, 255)))


# ---- against torch-fidelity and exact values, from features


@pytest.mark.parametrize(("n", "m", "width"), [(400, 600, 32), (600, 400, 32), (33, 33, 32), (5000, 40, 16)])
def test_distance_is_torch_fidelitys_where_pictures_exceed_features(n: int, m: int, width: int) -> None:
    real, fake = normal(n, width, 0), normal(m, width, 1) * 1.3 + 0.1
    assert frechet_distance(real, fake) == pytest.approx(reference(real, fake), rel=1e-9)
    rounded = real.float(), fake.float()
    assert frechet_distance(*rounded) == pytest.approx(reference(*rounded), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(6, 9), (9, 6), (5, 40), (12, 12)])
def test_distance_is_exact_where_pictures_are_fewer_than_features(n: int, m: int) -> None:
    """torch-fidelity takes roots of what rounding left of the eigenvalues that are 0."""
    width = 24
    scale = torch.logspace(0, -6, width, dtype=torch.float64)
    real, fake = torch.rand(n, width).double() * scale, torch.rand(m, width).double() * scale + 0.01 * scale
    right = exact(real, fake)
    error, theirs = abs(frechet_distance(real, fake) - right), abs(reference(real, fake) - right)
    assert error < 1e-13 * right
    assert theirs > 10 * error


@pytest.mark.parametrize("smallest", [-2, -5, -9, -14])
def test_distance_is_exact_where_covariances_are_nearly_singular(smallest: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(0, smallest, 16, dtype=torch.float64)
    real, fake = (torch.randn(n, 16, dtype=torch.float64, generator=generator) * scale for n in (30, 40))
    traces = float(real.var(0).sum() + fake.var(0).sum())
    assert frechet_distance(real, fake) == pytest.approx(exact(real, fake), abs=2e-8 * traces)


def test_distance_of_known_covariances_is_the_closed_form() -> None:
    """Rank 19 and 29 of 64, sharing some directions: sums of squared differences of deviations."""
    generator = torch.Generator().manual_seed(0)
    samples, deviations = [], torch.zeros(2, 64, dtype=torch.float64)
    for kind, n in enumerate((20, 30)):
        basis = torch.randn(n, n, dtype=torch.float64, generator=generator)
        basis[:, 0] = 1
        orthogonal = torch.linalg.qr(basis).Q[:, 1:]  # columns of mean 0
        deviations[kind, 10 * kind : 10 * kind + n - 1] = torch.rand(n - 1, dtype=torch.float64, generator=generator)
        rows = torch.zeros(n, 64, dtype=torch.float64)
        rows[:, 10 * kind : 10 * kind + n - 1] = orthogonal * math.sqrt(n - 1)
        samples.append(rows * deviations[kind] + kind)
    expected = float((deviations[0] - deviations[1]).square().sum()) + 64
    assert frechet_distance(*samples) == pytest.approx(expected, rel=1e-13)


def test_features_that_are_always_0_change_nothing() -> None:
    real, fake = normal(50, 12, 0), normal(60, 12, 1)
    dead = [torch.cat([rows, torch.zeros(len(rows), 5)], dim=1) for rows in (real, fake)]
    assert frechet_distance(*dead) == pytest.approx(frechet_distance(real, fake), rel=1e-9)


# ---- what holds for any features


@st.composite
def pairs_of_sets(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Of any rank."""
    width, n, m = draw(st.integers(1, 12)), draw(st.integers(2, 30)), draw(st.integers(2, 30))
    seed, decay = draw(st.integers(0, 2**20)), draw(st.floats(0, 3))
    return normal(n, width, seed, decay=decay), 1.5 * normal(m, width, seed + 1, decay=decay) + 0.5


@given(pairs_of_sets())
def test_distance_is_symmetric_and_zero_for_equal_sets(sets: tuple[Tensor, Tensor]) -> None:
    real, fake = sets
    near = 1e-7 * Sample(real).trace
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-7)
    assert 0 <= frechet_distance(real, real) < near
    assert 0 <= frechet_distance(real, real.flip(0)) < near


@given(pairs_of_sets(), st.integers(0, 2**20))
def test_distance_does_not_depend_on_order_or_axes(sets: tuple[Tensor, Tensor], seed: int) -> None:
    real, fake = sets
    generator = torch.Generator().manual_seed(seed)
    width = real.shape[1]
    turn = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=generator)).Q
    shuffled = real[torch.randperm(len(real), generator=generator)]
    expected = pytest.approx(frechet_distance(real, fake), rel=1e-6)
    assert frechet_distance(shuffled, fake) == expected
    assert frechet_distance(real @ turn, fake @ turn) == expected


@given(pairs_of_sets(), st.floats(0.01, 100))
def test_distance_grows_with_the_square_of_a_factor_and_of_a_shift(sets: tuple[Tensor, Tensor], factor: float) -> None:
    real, fake = (rows - rows.mean(0) for rows in sets)
    distance = frechet_distance(real, fake)
    near = 1e-7 * (Sample(real).trace + Sample(fake).trace)
    assert frechet_distance(factor * real, factor * fake) == pytest.approx(factor**2 * distance, abs=factor**2 * near)
    shift = torch.linspace(-factor, factor, real.shape[1], dtype=torch.float64)
    expected = distance + float(shift.square().sum())
    assert frechet_distance(real, fake + shift) == pytest.approx(expected, rel=1e-9, abs=near)


@given(pairs_of_sets(), st.integers(1, 12))
@settings(max_examples=30)
def test_nothing_depends_on_how_many_rows_are_read_at_once(sets: tuple[Tensor, Tensor], chunk: int) -> None:
    whole = Comparison(*map(Sample, sets))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "BATCH_ROWS", chunk)
        parts = Comparison(*map(Sample, sets))
        assert parts.distance == pytest.approx(whole.distance, rel=1e-6)
        assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-4)


# ---- chance and the number of pictures


@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 400), (400, 60), (400, 400)])
def test_standard_error_is_the_spread_over_fresh_pictures(n: int, m: int) -> None:
    """At any rank, of 48 features, and for either set."""
    scale = torch.arange(1, 49).double() ** -0.7
    generator = torch.Generator().manual_seed(0)
    distances, errors = [], []
    for _ in range(60):
        real = torch.randn(n, 48, dtype=torch.float64, generator=generator) * scale
        fake = torch.randn(m, 48, dtype=torch.float64, generator=generator) * scale * 1.5 + 0.15
        comparison = Comparison(Sample(real), Sample(fake))
        distances.append(comparison.distance)
        errors.append(comparison.standard_error)
    assert 0.55 < np.mean(errors) / np.std(distances, ddof=1) < 1.8  # 0.72 to 1.24, by the seed


def test_standard_error_is_the_bootstraps_where_ranks_are_full() -> None:
    real, fake = normal(400, 8, 0), normal(300, 8, 1) * 1.5 + 0.15
    rng = np.random.default_rng(0)
    draws = [
        frechet_distance(*(rows[torch.from_numpy(rng.integers(len(rows), size=len(rows)))] for rows in (real, fake)))
        for _ in range(200)
    ]
    assert Comparison(Sample(real), Sample(fake)).standard_error == pytest.approx(np.std(draws), rel=0.3)


def test_variances_are_of_the_real_and_of_the_generated_set() -> None:
    real, fake = normal(40, 8, 0), 3 * normal(200, 8, 1)
    of_real, of_fake = Comparison(Sample(real), Sample(fake)).variances
    assert of_fake > 5 * of_real
    assert Comparison(Sample(fake), Sample(real)).variances == pytest.approx((of_fake, of_real))


def test_fid_infinity_is_near_the_distance_of_the_distributions() -> None:
    """Of two normal ones, whose covariances commute, from a hundred pictures by 48 features."""
    scale = torch.arange(1, 49).double() ** -0.7
    right = 48 * 0.15**2 + float((0.5 * scale).square().sum())
    generator = torch.Generator().manual_seed(0)
    plain, infinite, held = [], [], 0
    for _ in range(25):
        real = torch.randn(2000, 48, dtype=torch.float64, generator=generator) * scale
        fake = torch.randn(100, 48, dtype=torch.float64, generator=generator) * scale * 1.5 + 0.15
        plain.append(frechet_distance(real, fake))
        [score] = FIDInfinity().evaluate(real, fake)
        infinite.append(score.value)
        assert score.interval is not None
        held += score.interval[0] < right < score.interval[1]
    assert abs(np.mean(infinite) - right) < 0.3 * abs(np.mean(plain) - right)
    assert np.abs(np.array(infinite) - right).mean() < 0.8 * np.abs(np.array(plain) - right).mean()
    assert held >= 18  # of 25; 24 are to be expected


def test_fid_infinity_tells_the_points_of_its_line() -> None:
    real, fake = normal(200, 8, 0), normal(100, 8, 1) + 0.2
    [score] = FIDInfinity().evaluate(real, fake)
    sizes, values = np.array(score.details["points"]).T
    assert (sizes[0], sizes[-1], len(sizes)) == (50, 100, 15)
    assert values[-1] == pytest.approx(frechet_distance(real, fake))
    slope, intercept = np.polyfit(1 / sizes, values, 1)
    assert score.value == pytest.approx(intercept)
    assert score.details["slope"] == pytest.approx(slope)


# ---- the score


def test_fid_tells_what_half_of_the_generated_pictures_give() -> None:
    rows = normal(600, 32, 0)
    [score] = FID().evaluate(rows[100:], rows[:100])
    assert score.details["at half"] > score.value
    assert FID().evaluate(rows[100:], rows[:100]) == [score]
    assert score.interval is not None
    assert score.interval[0] < score.value < score.interval[1]
    assert "at half" not in FID().evaluate(rows[100:], rows[:3])[0].details


def test_fid_of_equal_sets_is_zero_with_an_interval_that_is_not_below() -> None:
    real = normal(40, 8, 0)
    [score] = FID().evaluate(real, real)
    assert score.value == pytest.approx(0, abs=1e-12)
    assert score.interval is not None
    assert score.interval[0] == 0


@pytest.mark.parametrize(
    ("n", "m", "note"),
    [
        (20, 50, "the covariance of 20 pictures has rank 19 of 32: compare only scores of the same n"),
        (50, 32, "the covariance of 32 pictures has rank 31 of 32: compare only scores of the same n"),
        (50, 33, "33 pictures are few: the score falls as n grows; compare only scores of the same n"),
        (2048, 2048, None),
    ],
)
def test_too_few_pictures_are_told(n: int, m: int, note: str | None) -> None:
    [score] = FID().evaluate(normal(n, 32, 0), normal(m, 32, 1))
    *told, by_n = score.notes
    assert told == ([] if note is None else [note])
    half = score.details["at half"]
    assert by_n == (
        f"with half of the generated pictures it would be {half:.4g}: n still matters by about {half - score.value:.2g}"
    )


def test_what_half_of_very_many_pictures_give_is_no_note() -> None:
    real, fake = normal(2048, 4, 0), normal(5000, 4, 1)
    assert not FID().evaluate(real, fake)[0].notes
    assert len(FID().evaluate(real, fake[1:])[0].notes) == 1
    assert FID().evaluate(real, fake)[0].details["at half"] >= 0


def test_fid_infinity_of_equal_sets_is_below_0_and_so_is_its_interval() -> None:
    real = normal(200, 8, 0)
    [score] = FIDInfinity().evaluate(real, real)
    assert score.interval is not None
    assert score.interval[0] <= score.value <= score.interval[1] < 0


@pytest.mark.parametrize(
    ("n", "m", "notes"),
    [
        (200, 31, ["the covariance of 31 pictures has rank 30 of 32: compare only scores of the same n"]),
        (200, 60, ["200 real pictures are few: the score falls with more of them"]),
        (2048, 60, []),
    ],
)
def test_fid_infinity_tells_nothing_of_the_bias_that_it_takes_away(n: int, m: int, notes: list[str]) -> None:
    [score] = FIDInfinity().evaluate(normal(n, 32, 0), normal(m, 32, 1))
    assert list(score.notes) == notes
    assert "bias by the number of real pictures" in score.details["interval_of"]


def test_pictures_that_are_too_few_for_a_score_are_refused() -> None:
    rows = normal(40, 8, 0)
    with pytest.raises(ValueError, match="needs at least 2 real pictures, got 1"):
        FID().evaluate(rows[:1], rows)
    with pytest.raises(ValueError, match="needs at least 2 generated pictures, got 0"):
        FID().evaluate(rows, rows[:0])
    with pytest.raises(ValueError, match="needs at least 30 generated pictures, got 29"):
        FIDInfinity().evaluate(rows, rows[:29])


@pytest.mark.parametrize("shapes", [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5, 4))])
def test_features_that_cannot_be_compared_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"at least 2 rows|cannot be compared"):
        frechet_distance(*map(torch.zeros, shapes))
