"""Scores of nearest neighbors: against other packages, against formulas written plainly, and on copies."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.stats import binomtest
from support.data import DATA, VGG19_WEIGHTS, needs_data
from torch import Tensor

from artgan import images
from artgan.interfaces import Score
from artgan.metrics import batching
from artgan.metrics.extractors import Extractor, load_extractor
from artgan.metrics.frechet import FID
from artgan.metrics.neighbors import (
    PRDC,
    PRDCVGG19,
    Memorization,
    MiFID,
    held_out_gap,
    memorization_distance,
    nearest_neighbors,
)

pytestmark = pytest.mark.numerical


Array = NDArray[np.float64]


def normal(rows: int, width: int, seed: int, *, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Draws in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64) * scale + shift


def values(scores: Sequence[Score]) -> dict[str, float]:
    return {score.name: score.value for score in scores}


def mapped(path: Path, rows: Tensor) -> Tensor:
    """As features come from the cache: float32, in a file mapped into memory."""
    np.save(path, rows.numpy().astype(np.float32))
    return torch.from_numpy(np.load(path, mmap_mode="c"))


# Nearest neighbors


def plain_neighbors(fake: Array, real: Array, count: int, itself: bool) -> tuple[Array, NDArray[np.int64]]:
    distances = np.sqrt(np.square(fake[:, None] - real[None]).sum(2))
    if itself:
        np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(distances, order, 1), order


@given(data=st.data(), rows=st.integers(1, 12), others=st.integers(2, 14), width=st.integers(1, 9), grid=st.booleans())
@settings(max_examples=60)
def test_nearest_neighbors_are_those_of_all_distances(
    data: st.DataObject, rows: int, others: int, width: int, grid: bool
) -> None:
    """On a grid many are as near as others, or equal; then the first come first."""
    itself = data.draw(st.booleans())
    count = data.draw(st.integers(1, others - itself))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))

    def draw(size: int) -> Array:
        return rng.integers(0, 3, (size, width)).astype(float) if grid else rng.normal(size=(size, width))

    real = draw(others)
    fake = real if itself else draw(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "BATCH_ROWS", data.draw(st.integers(1, 15)))
        distances, indices = nearest_neighbors(
            torch.from_numpy(fake), torch.from_numpy(real), count=count, itself=itself
        )
    expected, order = plain_neighbors(fake, real, count, itself)
    np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=0)
    np.testing.assert_array_equal(indices, order)


def test_distances_of_near_copies_do_not_drown_in_rounding() -> None:
    real = normal(30, 64, 0, shift=1e4)
    fake = real + normal(30, 64, 1, scale=1e-7)
    distances, indices = nearest_neighbors(fake, real, count=1)
    assert indices[:, 0].tolist() == list(range(30))
    np.testing.assert_allclose(distances[:, 0], np.sqrt(np.square((fake - real).numpy()).sum(1)), rtol=1e-12)


def test_at_length_1_only_the_direction_of_rows_counts() -> None:
    fake, real = normal(9, 5, 0), normal(11, 5, 1)
    lengths = torch.arange(1, 12, dtype=torch.float64)[:, None]
    expected = nearest_neighbors(fake / fake.norm(dim=1, keepdim=True), real / real.norm(dim=1, keepdim=True), count=3)
    distances, indices = nearest_neighbors(fake, real * lengths, count=3, unit=True)
    torch.testing.assert_close(distances, expected[0], rtol=1e-12, atol=1e-14)
    assert torch.equal(indices, expected[1])


@pytest.mark.parametrize(
    ("fake", "real", "options", "message"),
    [
        ((2, 3), (4, 5), {"count": 1}, "one width"),
        ((2, 3), (4, 3), {"count": 5}, "neighbors to be found: 5, pictures to find them among: 4"),
        ((4, 3), (4, 3), {"count": 4, "itself": True}, "pictures to find them among: 3"),
        ((2, 3), (4, 3), {"count": 0}, "to be found: 0"),
        ((2, 3), (4, 3), {"count": 1, "itself": True}, "one set was meant"),
    ],
)
def test_neighbors_that_are_not_there_are_refused(
    fake: tuple[int, int], real: tuple[int, int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nearest_neighbors(torch.zeros(fake), torch.zeros(real), **options)


# Precision, recall, density, coverage


@pytest.mark.slow
@given(data=st.data(), real=st.integers(7, 40), fake=st.integers(7, 40), width=st.integers(1, 30))
@settings(max_examples=60)
def test_prdc_is_that_of_its_package(data: st.DataObject, real: int, fake: int, width: int) -> None:
    k = data.draw(st.integers(1, min(real, fake) - 2))  # the package needs one row more than is needed
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = rng.normal(size=(real, width))
    y = rng.normal(data.draw(st.sampled_from([0, 0.5, 2])), data.draw(st.sampled_from([0.3, 1, 2])), (fake, width))
    found = values(PRDC(k=k).evaluate(torch.from_numpy(x), torch.from_numpy(y)))
    assert found == pytest.approx(compute_prdc(x, y, k), abs=1e-9)


@pytest.mark.slow
@given(data=st.data(), real=st.integers(4, 25), fake=st.integers(4, 25), width=st.integers(1, 3))
@settings(max_examples=60)
def test_prdc_is_that_of_its_package_where_pictures_repeat_and_distances_tie(
    data: st.DataObject, real: int, fake: int, width: int
) -> None:
    """On a grid of integers, where the package's distances are exact too."""
    k = data.draw(st.integers(1, min(real, fake) - 2))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x, y = (rng.integers(0, data.draw(st.integers(1, 4)), (rows, width)).astype(float) for rows in (real, fake))
    found = values(PRDC(k=k).evaluate(torch.from_numpy(x), torch.from_numpy(y)))
    assert found == pytest.approx(compute_prdc(x, y, k), abs=1e-9)


def test_prdc_is_that_of_its_package_for_features_in_a_file(tmp_path: Path) -> None:
    real, fake = mapped(tmp_path / "real.npy", normal(150, 64, 0)), mapped(tmp_path / "fake.npy", normal(90, 64, 1))
    expected = compute_prdc(real.double().numpy(), fake.double().numpy(), 5)
    assert values(PRDC().evaluate(real, fake)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_precision_and_recall_are_those_of_torch_fidelity(k: int, shift: float) -> None:
    judge = pytest.importorskip("torch_fidelity.metric_prc", reason="torch-fidelity has them since its version 0.4")
    real, fake = normal(120, 8, 0), normal(90, 8, 1, scale=0.9, shift=shift)
    theirs = judge.prc_features_to_metric(
        features_1=fake, features_2=real, prc_neighborhood=k, prc_batch_size=50, save_cpu_ram=True, verbose=False
    )
    found = values(PRDC(k=k).evaluate(real, fake))
    assert 0 < found["precision"] < 1
    assert 0 < found["recall"] < 1
    assert found["precision"] == pytest.approx(theirs["precision"], abs=1e-6)  # theirs are means in float32
    assert found["recall"] == pytest.approx(theirs["recall"], abs=1e-6)


def test_copies_are_precise_recalled_and_cover_and_as_dense_as_the_real_ones() -> None:
    real = normal(40, 6, 0)
    found = values(PRDC().evaluate(real, real[torch.randperm(40)]))
    assert found == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


def test_sets_that_lie_far_apart_share_nothing() -> None:
    found = values(PRDC().evaluate(normal(30, 6, 0), normal(25, 6, 1, shift=100)))
    assert found == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_set_of_few_kinds_is_precise_but_recalls_and_covers_little() -> None:
    kinds = normal(10, 4, 0, scale=20)
    real = kinds.repeat(20, 1) + normal(200, 4, 1)
    fake = kinds[:2].repeat(100, 1) + normal(200, 4, 2)
    found = values(PRDC().evaluate(real, fake))
    assert found["precision"] > 0.8
    assert found["density"] > 0.8
    assert found["recall"] < 0.25
    assert found["coverage"] < 0.25


def test_intervals_of_prdc_are_wilson_for_shares_and_normal_for_density() -> None:
    real, fake = normal(60, 5, 0), normal(45, 5, 1, shift=0.5)
    scores = {score.name: score for score in PRDC().evaluate(real, fake)}
    for name, count in (("precision", 45), ("recall", 60), ("coverage", 60)):
        hits = round(scores[name].value * count)
        expected = binomtest(hits, count).proportion_ci(method="wilson")
        assert scores[name].interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    reach = plain_neighbors(real.numpy(), real.numpy(), 5, True)[0][:, -1]
    balls = (torch.cdist(real, fake).numpy() < reach[:, None]).sum(0) / 5
    half = 1.959964 * balls.std(ddof=1) / np.sqrt(45)
    assert scores["density"].interval == pytest.approx((balls.mean() - half, balls.mean() + half), abs=1e-6)


def test_by_another_network_the_scores_have_its_name() -> None:
    real, fake = normal(30, 6, 0), normal(25, 6, 1)
    found = PRDCVGG19().evaluate(real, fake)
    assert [score.name for score in found] == [f"{name}-vgg19" for name in PRDC.better]
    assert [score.value for score in found] == [score.value for score in PRDC().evaluate(real, fake)]
    assert set(PRDCVGG19.better) == {score.name for score in found}


def test_prdc_says_what_it_was_computed_with_and_that_pictures_are_few() -> None:
    few = PRDC(k=3).evaluate(normal(20, 2, 0), normal(21, 2, 1))
    assert [score.name for score in few] == ["precision", "recall", "density", "coverage"]
    for score in few:
        assert score.n == (20, 21)
        assert score.details["k"] == 3
        assert any("20 real and 21 generated pictures are few" in note for note in score.notes)
    assert not PRDC().evaluate(normal(1000, 2, 0), normal(1000, 2, 1))[0].notes


@pytest.mark.parametrize(("real", "fake", "kind"), [(5, 9, "real"), (9, 5, "generated"), (0, 9, "real")])
def test_prdc_needs_more_pictures_than_neighbors(real: int, fake: int, kind: str) -> None:
    with pytest.raises(ValueError, match=f"at least 6 {kind} pictures"):
        PRDC().evaluate(torch.zeros(real, 3), torch.zeros(fake, 3))
    assert len(PRDC().evaluate(normal(6, 3, 0), normal(6, 3, 1))) == 4


def test_prdc_needs_a_neighbor() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PRDC(k=0)


# MiFID


def plain_mifid(real: Array, fake: Array) -> tuple[float, float]:
    """Kaggle's score and its d, as they were described for the competition."""

    def directions(rows: Array) -> Array:
        rows = rows[rows.sum(1) != 0]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    d = float(np.mean(np.min(1 - np.abs(directions(fake) @ directions(real).T), axis=1)))
    of_real, of_fake = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = np.real(sqrtm(of_real @ of_fake))
    fid = np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(of_real + of_fake - 2 * root)
    return float(fid / ((d if d < 0.1 else 1) + 1e-14)), d


def with_rows_that_add_up_to_0(rows: Tensor) -> Tensor:
    odd = torch.zeros(2, rows.shape[1], dtype=rows.dtype)
    odd[1, 0], odd[1, 1] = 3, -3
    return torch.cat([rows[:5], odd, rows[5:]])


@pytest.mark.parametrize("near", [True, False])
def test_mifid_is_kaggles_formula(near: bool) -> None:
    real = with_rows_that_add_up_to_0(normal(60, 12, 0).abs() if near else normal(60, 12, 0))
    fake = real[:50] + normal(50, 12, 1, scale=0.2) if near else normal(50, 12, 1, shift=0.2)
    fake = with_rows_that_add_up_to_0(fake)
    expected, d = plain_mifid(real.numpy(), fake.numpy())
    assert (d < 0.1) == near
    (score,) = MiFID().evaluate(real, fake)
    assert score.value == pytest.approx(expected, rel=1e-9)
    assert score.details["d"] == pytest.approx(d, rel=1e-9)
    assert score.details["epsilon"] == 0.1
    assert score.value == pytest.approx(score.details["fid"] / (d if near else 1), rel=1e-9)
    assert any("divided by d" in note for note in score.notes) == near
    assert score.n == (len(real), len(fake))


def test_mifid_looks_from_generated_pictures_to_real_ones_and_not_back() -> None:
    """Copies of a few pictures: each generated one is near a real one, most real ones are far from generated ones."""
    real = normal(60, 12, 0)
    fake = real[:6].repeat(8, 1) + normal(48, 12, 1, scale=0.05)
    there, back = memorization_distance(real, fake), memorization_distance(fake, real)
    assert there < 0.01
    assert back > 0.2
    (score,) = MiFID().evaluate(real, fake)
    assert score.value == pytest.approx(plain_mifid(real.numpy(), fake.numpy())[0], rel=1e-9)
    assert score.value > 20 * plain_mifid(fake.numpy(), real.numpy())[0]  # FID is the same both ways


def test_mifid_says_what_fid_says_of_few_pictures() -> None:
    for real, fake in ((9, 40), (40, 40)):
        sets = normal(real, 12, 0), normal(fake, 12, 1)
        assert MiFID().evaluate(*sets)[0].notes == FID().evaluate(*sets)[0].notes[:1]


@pytest.mark.parametrize("near", [True, False])
def test_the_interval_of_mifid_is_that_of_fid_divided_alike(near: bool) -> None:
    real = normal(60, 12, 0)
    fake = real[:50] + normal(50, 12, 1, scale=0.2) if near else normal(50, 12, 1, shift=0.2)
    (score,), (fid,) = MiFID().evaluate(real, fake), FID().evaluate(real, fake)
    divisor = score.details["d"] if near else 1
    assert fid.interval is not None
    assert score.interval == pytest.approx(tuple(end / divisor for end in fid.interval), rel=1e-9)
    assert "d is held fixed" in score.details["interval_of"]


def test_mifid_of_too_few_or_black_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 generated"):
        MiFID().evaluate(normal(9, 3, 0), normal(1, 3, 1))
    for real, fake in ((normal(9, 3, 0), torch.zeros(9, 3)), (torch.zeros(9, 3), normal(9, 3, 0))):
        with pytest.raises(ValueError, match="all pictures of a set are 0"):
            memorization_distance(real, fake)


# Memorization


def kind(rows: int, seed: int, *, width: int = 24) -> Tensor:
    """Features of one kind of pictures: not negative, as those after a ReLU, and not alike in spread."""
    return (normal(rows, width, seed) / torch.arange(1, width + 1).sqrt() + 0.5).clamp_min(0)


def test_memorization_of_copies_is_1_even_where_real_pictures_repeat_each_other() -> None:
    real = kind(100, 0)
    (score,) = Memorization().evaluate(real, real[:60])
    assert score.value == 1
    assert score.details["median"] == 0
    assert score.interval == pytest.approx(binomtest(60, 60).proportion_ci(method="wilson"), abs=1e-9)
    twice = real.repeat(2, 1)
    (score,) = Memorization().evaluate(twice, real[:60])
    assert score.value == 1
    assert any("repeat each other" in note for note in score.notes)
    rounded = twice + normal(200, 24, 2, scale=1e-8)
    assert Memorization().evaluate(rounded, real[:60] + normal(60, 24, 3, scale=1e-7))[0].value == 1
    assert Memorization().evaluate(twice, kind(60, 1))[0].value == 0


@pytest.mark.parametrize(("rows", "low", "high"), [(400, 0.03, 0.08), (100, 0.03, 0.1), (25, 0.03, 0.15)])
def test_memorization_of_fresh_pictures_is_about_what_it_says_to_expect(rows: int, low: float, high: float) -> None:
    """Over draws; their means are 0.05 to 0.08. Without a threshold it would be 0 or 1."""
    found = [
        Memorization().evaluate(kind(rows, 2 * seed, width=8), kind(200, 2 * seed + 1, width=8))[0].value
        for seed in range(40)
    ]
    assert low < np.mean(found) < high


def test_memorization_grows_with_the_share_of_near_copies_and_is_0_for_pictures_of_another_kind() -> None:
    real, fresh = kind(150, 0), kind(150, 1)
    near = real + normal(150, 24, 2, scale=0.01)
    (half,) = Memorization().evaluate(real, torch.cat([near[:75], fresh[:75]]))
    assert half.value == pytest.approx(0.5 + 0.05 / 2, abs=0.1)  # six standard errors of 75
    assert Memorization().evaluate(real, near)[0].value == 1
    assert Memorization().evaluate(real, fresh.flip(1))[0].value == 0


def test_memorization_is_what_plain_arithmetic_gives() -> None:
    real = kind(39, 0)
    fake = torch.cat([kind(20, 1), real[:5] * 3])  # the last five are copies of another length
    x, y = (rows.numpy() / np.linalg.norm(rows.numpy(), axis=1, keepdims=True) for rows in (real, fake))
    near, which = plain_neighbors(y, x, 1, False)
    own = np.sort(plain_neighbors(x, x, 1, True)[0][:, 0])
    (score,) = Memorization().evaluate(real, fake)
    details = json.loads(json.dumps(score.details))
    assert details["threshold"] == pytest.approx(own[1], rel=1e-9)  # the second of 39: 2 / (39 + 1) is 5 %
    assert score.value == (near[:, 0] <= own[1]).mean()
    assert details["median"] == pytest.approx(np.median(near), rel=1e-9)
    assert details["median_real"] == pytest.approx(np.median(own), rel=1e-9)
    order = np.argsort(near[:, 0], kind="stable")[:12]
    assert sorted(pair[:2] for pair in details["nearest"][:5]) == [[20 + i, i] for i in range(5)]  # all at 0
    assert [pair[:2] for pair in details["nearest"][5:]] == [[i, which[i, 0]] for i in order[5:]]
    assert [pair[2] for pair in details["nearest"]] == pytest.approx(near[order, 0].tolist(), abs=1e-12)


def test_memorization_of_few_pictures_says_so_and_of_too_few_is_refused() -> None:
    assert any("few" in note for note in Memorization().evaluate(kind(40, 0), kind(300, 1))[0].notes)
    assert not Memorization().evaluate(kind(100, 0), kind(100, 1))[0].notes
    with pytest.raises(ValueError, match="at least 20 real pictures, got 19"):
        Memorization().evaluate(kind(19, 0), kind(30, 1))


@pytest.mark.slow
@needs_data
def test_memorization_tells_changed_copies_of_paintings_from_other_paintings() -> None:
    extractor = load_extractor("vgg19", {"vgg19": VGG19_WEIGHTS}, size=64)
    paths = sorted((DATA / "monet").iterdir())[:60]
    paintings = [Image.open(path).convert("RGB").resize((128, 128)) for path in paths]
    known, fresh = paintings[:40], paintings[40:]

    def recompressed(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=50)
        return Image.open(file)

    def features(pictures: Sequence[Image.Image]) -> Tensor:
        rows = extractor.features(torch.stack([images.to_tensor(picture) for picture in pictures]))
        return rows[:, extractor.parts["means"]]

    real = features(known)
    assert Memorization().evaluate(real, features([recompressed(picture) for picture in known[:20]]))[0].value > 0.9
    assert Memorization().evaluate(real, features([ImageOps.mirror(picture) for picture in known[:20]]))[0].value > 0.7
    assert Memorization().evaluate(real, features(fresh))[0].value < 0.3


# Learned from against held out


def test_pictures_near_to_those_learned_from_show_in_the_gap() -> None:
    train, held_out, fresh = kind(120, 0), kind(120, 1), kind(100, 2)
    copied = held_out_gap(train[:100] + normal(100, 24, 3, scale=0.02), train, held_out)
    assert copied.ratio < 0.5
    assert copied.interval[0] <= copied.ratio <= copied.interval[1] < 0.6
    assert copied.ratio == pytest.approx(copied.train / copied.held_out)
    honest = held_out_gap(fresh, train, held_out)
    assert honest.ratio == pytest.approx(1, abs=0.08)
    assert honest.interval[0] < 1 < honest.interval[1]


@pytest.mark.slow
def test_the_gap_is_about_1_over_many_draws_and_its_interval_holds_1_as_often_as_it_says() -> None:
    gaps = [held_out_gap(kind(60, 3 * i), kind(60, 3 * i + 1), kind(60, 3 * i + 2), draws=200) for i in range(60)]
    assert np.mean([gap.ratio for gap in gaps]) == pytest.approx(1, abs=0.02)
    assert sum(gap.interval[0] <= 1 <= gap.interval[1] for gap in gaps) >= 52  # 57 to be expected


@pytest.mark.parametrize("more", ["train", "held out"])
def test_the_gap_takes_as_many_pictures_of_each_set(more: str) -> None:
    """Among more pictures the nearest is nearer: without that the ratio would be far from 1."""
    many, few, fake = kind(1000, 0), kind(60, 1), kind(150, 2)
    train, held_out = (many, few) if more == "train" else (few, many)
    gap = held_out_gap(fake, train, held_out)
    assert gap.size == 60
    assert gap.ratio == pytest.approx(1, abs=0.08)
    assert gap == held_out_gap(fake, train, held_out)
    assert gap != held_out_gap(fake, train, held_out, seed=1)
    near, far = (nearest_neighbors(fake, rows, count=1, unit=True)[0].median() for rows in (many, few))
    assert float(near / far) < 0.88


def test_a_gap_that_is_not_defined_is_refused() -> None:
    real = kind(30, 0)
    with pytest.raises(ValueError, match="at least 1 learned-from pictures, got 0"):
        held_out_gap(real, real[:0], real)
    with pytest.raises(ValueError, match="at least 1 held-out pictures, got 0"):
        held_out_gap(real, real, real[:0])
    with pytest.raises(ValueError, match="at least 1 generated"):
        held_out_gap(real[:0], real, real)
    with pytest.raises(ValueError, match="20 of 20 generated pictures equal held-out ones"):
        held_out_gap(real[:20], kind(30, 1), real)


@pytest.mark.filterwarnings("error")
def test_generated_pictures_that_are_held_out_ones_leave_no_bound_or_one_that_is_finite() -> None:
    """Of twenty eight: in one of eight draws more than half are such, and the ratio's interval would have no end."""
    fake, train, others = kind(20, 0), kind(20, 1), kind(20, 2)
    with pytest.raises(ValueError, match="8 of 20 generated pictures equal held-out ones: were those trained on too"):
        held_out_gap(fake, train, torch.cat([fake[:8], others[8:]]))
    gap = held_out_gap(fake, train, torch.cat([fake[:5], others[5:]]))
    assert 0 < gap.interval[0] < gap.ratio < gap.interval[1] < math.inf
    json.dumps(asdict(gap), allow_nan=False)


# All of them

METRICS: dict[str, Callable[[Tensor, Tensor], Sequence[Score]]] = {
    "prdc": lambda real, fake: PRDC().evaluate(real, fake),
    "mifid": lambda real, fake: MiFID().evaluate(real, fake),
    "memorization": lambda real, fake: Memorization().evaluate(real, fake),
}


@pytest.mark.parametrize("name", METRICS)
def test_neither_the_order_of_rows_nor_a_rotation_matters(name: str) -> None:
    evaluate, real, fake = METRICS[name], kind(50, 0), kind(45, 1)
    expected = values(evaluate(real, fake))
    shuffled = values(evaluate(real[torch.randperm(50)], fake[torch.randperm(45)]))
    assert shuffled == pytest.approx(expected, rel=1e-9)
    rotation = torch.linalg.qr(normal(24, 24, 2)).Q
    assert values(evaluate(real @ rotation, fake @ rotation)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size", [1, 7, 49])
def test_the_size_of_batches_does_not_matter(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = METRICS[name]
    real = torch.cat([kind(40, 0), kind(10, 0)])  # some twice
    fake = torch.cat([kind(35, 1), kind(10, 0)])  # some copied
    expected = evaluate(real, fake)
    monkeypatch.setattr(batching, "BATCH_ROWS", size)
    found = evaluate(real, fake)
    if name == "mifid":  # products of matrices round as their shapes have it
        assert values(found) == pytest.approx(values(expected), rel=1e-9)
    else:
        assert found == expected


@pytest.mark.parametrize("name", METRICS)
def test_features_in_a_file_score_as_those_in_memory(name: str, tmp_path: Path) -> None:
    real, fake = mapped(tmp_path / "real.npy", kind(50, 0)), mapped(tmp_path / "fake.npy", kind(45, 1))
    assert values(METRICS[name](real, fake)) == values(METRICS[name](real.clone(), fake.clone()))


class _Colors(Extractor):
    """The mean and the deviation of each channel."""

    name, resize, weights = "colors", "none", "none"
    parts = {"pool": slice(0, 6), "means": slice(0, 3)}  # noqa: RUF012  # as the classes of artgan have them

    def prepare(self, picture: Image.Image) -> Tensor:
        return images.to_tensor(picture)

    def forward(self, prepared: Tensor) -> Tensor:
        flat = prepared.flatten(2)
        return torch.cat([flat.mean(2) + 1, flat.std(2)], dim=1)


@pytest.mark.parametrize("cls", [PRDC, MiFID, Memorization])
def test_pictures_that_come_in_batches_score_as_their_features(cls: type[PRDC]) -> None:
    rng = np.random.default_rng(0)
    sets = [
        torch.stack([images.to_tensor(Image.fromarray(rng.integers(0, top, (4, 4, 3), np.uint8))) for top in tops])
        for tops in (range(100, 150), range(120, 160))
    ]
    extractor = _Colors()
    metric = cls(extractor)
    for real, pictures in zip((True, False), sets, strict=True):
        for batch in pictures.split(17):
            metric.update(batch, real=real)
    real_rows, fake_rows = (extractor.features(pictures)[:, extractor.parts[cls.part]] for pictures in sets)
    assert metric.scores() == cls(extractor).evaluate(real_rows, fake_rows)
    assert metric.compute() == metric.scores()[0]
    assert metric.compute().details["extractor"] == "colors"
