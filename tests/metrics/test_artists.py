"""The artist classifier: on numbers whose answer is known, and on real pictures."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from support.data import DATA, VGG19_WEIGHTS, needs_data
from torch import Tensor

from artgan import images
from artgan.errors import ConfigError
from artgan.metrics.artists import classify
from artgan.metrics.extractors import load_extractor
from artgan.metrics.intervals import wilson


def cloud(n: int, center: float, seed: int) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)) + center


@pytest.mark.slow
@pytest.mark.numerical
def test_artists_that_differ_are_told_apart_and_others_are_taken_for_the_nearest() -> None:
    classes = {"blue": cloud(20, -4, 0), "red": cloud(30, 4, 1), "gray": cloud(15, 0, 2)}
    sets = {"painted": torch.cat([cloud(6, -4, 3), cloud(2, 4, 4)]), "one": cloud(1, 4, 5)}
    report = classify(classes, sets)
    assert report.accuracy == report.balanced_accuracy == 1
    assert report.confusion == ((20, 0, 0), (0, 30, 0), (0, 0, 15))
    assert report.counts == {"blue": 20, "red": 30, "gray": 15}
    painted = report.sets["painted"]
    assert painted.n == 8
    assert {name: share.share for name, share in painted.shares.items()} == {"blue": 0.75, "red": 0.25, "gray": 0}
    assert painted.shares["blue"].interval == pytest.approx(wilson(6, 8))
    assert sum(share.probability for share in painted.shares.values()) == pytest.approx(1)
    assert report.sets["one"].shares["red"].probability > 0.6  # 0.89 to 0.97, by the seed


@pytest.mark.slow
@pytest.mark.numerical
def test_nothing_is_told_from_noise() -> None:
    """Many numbers and few pictures, all of one kind: a picture that had a part in its own judgement would be known."""
    rng = torch.Generator().manual_seed(0)
    classes = {name: torch.randn(40, 200, generator=rng) for name in ("a", "b", "c")}
    report = classify(classes, {})
    # The interval of 95 % misses one third with one seed in twenty; this is six standard errors of 120 pictures.
    assert abs(report.accuracy - 1 / 3) < 0.26
    assert np.sum(report.confusion) == 120


@pytest.mark.slow
@pytest.mark.numerical
def test_an_artist_with_few_pictures_weighs_as_much_as_one_with_many() -> None:
    classes = {"many": cloud(5000, 0, 0), "few": cloud(500, 0.8, 1)}
    report = classify(classes, {"in the middle": cloud(4000, 0.4, 2)})
    # 0.48 to 0.52, by the seed; where each picture weighs alike, 0.12.
    assert 0.25 < report.sets["in the middle"].shares["few"].share < 0.75
    assert report.balanced_accuracy == pytest.approx(np.mean([report.confusion[i][i] / (5000, 500)[i] for i in (0, 1)]))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report() -> None:
    classes = {"a": cloud(20, 0, 0), "b": cloud(20, 0.5, 1)}
    assert classify(classes, {"x": cloud(5, 0, 2)}, seed=3) == classify(classes, {"x": cloud(5, 0, 2)}, seed=3)


def test_the_report_is_json_and_a_table() -> None:
    classes = {"Monet": cloud(20, -4, 0), "Van Gogh": cloud(30, 4, 1)}
    report = classify(classes, {"painted": cloud(8, -4, 3)})
    read = json.loads(json.dumps(report.to_dict()))
    assert read["sets"]["painted"]["shares"]["Monet"]["share"] == 1
    assert read["confusion"] == [[20, 0], [0, 30]]
    first, *table = report.lines()
    assert first == ("cross-validated accuracy: 100.0% (92.9% to 100.0%); mean over artists 100.0%, by chance 50.0%")
    assert [line.split("  ")[0].strip() for line in table] == ["taken for", "Monet", "Van Gogh", "painted"]
    assert len({len(line) for line in table}) == 1
    assert table[2].endswith("30 of 30")
    assert "100% (68% to 100%)" in table[3]


@pytest.mark.parametrize(("count", "n"), [(0, 7), (3, 10), (10, 10), (271, 300)])
def test_wilsons_interval_is_scipys(count: int, n: int) -> None:
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert wilson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_too_few_pictures_are_told() -> None:
    enough = cloud(10, 0, 0)
    with pytest.raises(ValueError, match="at least 2 artists to distinguish, got 1"):
        classify({"a": enough}, {})
    with pytest.raises(ValueError, match="at least 10 pictures of each artist, got 9 of b"):
        classify({"a": enough, "b": enough[:9]}, {})
    with pytest.raises(ValueError, match="x has no pictures"):
        classify({"a": enough, "b": enough}, {"x": enough[:0]})
    with pytest.raises(ValueError, match="widths of 5, 6"):
        classify({"a": enough, "b": enough}, {"x": enough[:, :5]})


def test_a_missing_scikit_learn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ConfigError, match=r'pip install "artgan\[metrics\]"'):
        classify({"a": cloud(10, 0, 0), "b": cloud(10, 1, 1)}, {})


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
def test_monet_van_gogh_and_photographs_are_told_apart() -> None:
    """40 of each at 96 pixels, to be quick."""
    extractor = load_extractor("vgg19", {"vgg19": VGG19_WEIGHTS}, size=96)

    def features(folder: str) -> Tensor:
        paths = sorted((DATA / folder).iterdir())
        pictures = [images.decode(path).rgb for path in paths[:: len(paths) // 40][:40]]
        with torch.inference_mode():
            return extractor(torch.stack([extractor.prepare(p) for p in pictures]))[:, extractor.parts["style"]]

    classes = {name: features(name) for name in ("monet", "vangogh", "photo")}
    held = {name: rows[30:] for name, rows in classes.items()}
    report = classify({name: rows[:30] for name, rows in classes.items()}, held)
    assert report.accuracy > 0.65  # 0.97 of 300 of each at 256 pixels
    for name in held:
        shares = {artist: share.share for artist, share in report.sets[name].shares.items()}
        assert max(shares, key=lambda artist: shares[artist]) == name
