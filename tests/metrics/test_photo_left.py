"""How much of a photo's detail is left in its painting: against SciPy, and where the answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from artgan import images
from artgan.metrics.evaluation import Evaluator
from artgan.metrics.photo_left import SIGMAS, PhotoLeft, bands, luminance, photo_left

SIDE = 128


def noise(seed: int, count: int = 4, side: int = SIDE) -> Tensor:
    """Luminance without any structure, N x H x W."""
    return torch.randn(count, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gray(light: Tensor) -> Tensor:
    """Pictures of a luminance."""
    return light[:, None].expand(-1, 3, -1, -1)


def by_hand(pictures: Tensor) -> Iterator[np.ndarray]:
    """The bands of each picture, by SciPy."""
    for picture in pictures.double().numpy():
        light = np.tensordot([0.299, 0.587, 0.114], picture, 1)
        blurred = [light, *(gaussian_filter(light, sigma, mode="reflect", truncate=4) for sigma in SIGMAS)]
        yield np.stack([blurred[i] - blurred[i + 1] for i in range(5)])


@pytest.mark.parametrize("shape", [(64, 64), (40, 97), (1, 30), (2, 1)])
def test_bands_are_differences_of_gaussian_blurs(shape: tuple[int, int]) -> None:
    pictures = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    light = luminance(pictures)
    split = bands(light)
    assert split.shape == (2, 5, *shape)
    np.testing.assert_allclose(split, np.stack(list(by_hand(pictures))), atol=1e-12)
    # They add up to the picture, but for what is coarser than all of them.
    coarse = torch.from_numpy(gaussian_filter(light.numpy(), (0, 16, 16), mode="reflect", truncate=4))
    torch.testing.assert_close(split.sum(1) + coarse, light)


def test_the_scores_are_means_of_correlations_with_the_interval_of_a_mean() -> None:
    rng = torch.Generator().manual_seed(0)
    photos = torch.rand(6, 3, 48, 64, generator=rng) * 2 - 1
    paintings = (photos + 0.5 * torch.randn(6, 3, 48, 64, generator=rng)).clamp(-1, 1)
    metric = PhotoLeft()
    for first, last in ((0, 4), (4, 6)):  # in batches of any size
        metric.update(photos[first:last], real=True)
        metric.update(paintings[first : first + 1], real=False)
        metric.update(paintings[first + 1 : last], real=False)
    expected = np.array(
        [
            [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(of_photo, of_painting, strict=True)]
            for of_photo, of_painting in zip(by_hand(photos), by_hand(paintings), strict=True)
        ]
    )
    scores = metric.scores()
    assert [score.name for score in scores] == [f"photo-left-{sigma}" for sigma in (1, 2, 4, 8, 16)]
    assert [score.value for score in scores] == pytest.approx(expected.mean(0), abs=1e-9)
    errors = expected.std(0, ddof=1) / 6**0.5
    assert [score.interval[1] - score.value for score in scores if score.interval] == pytest.approx(1.96 * errors, 1e-3)
    assert {score.n for score in scores} == {(6, 6)}
    assert [score.details["band"] for score in scores][:2] == ["up to 1 px", "1 to 2 px"]
    assert metric.compute() == scores[0]


def test_a_photo_is_left_in_itself_whatever_its_contrast_and_lightness() -> None:
    light = noise(0)
    for painting, left in ((light, 1), (0.3 * light + 0.2, 1), (-light, -1)):
        torch.testing.assert_close(photo_left(light, painting), torch.full((4, 5), float(left), dtype=torch.float64))


@pytest.mark.numerical
@pytest.mark.parametrize("blur", [1.0, 3.0])
def test_of_a_blurred_photo_is_left_what_the_integrals_say(blur: float) -> None:
    """Of white noise, all of a band's waves are equally strong, which gives the correlation as a ratio of integrals."""
    light = noise(1, side=256)
    blurred = torch.from_numpy(gaussian_filter(light.numpy(), (0, blur, blur), truncate=6))
    found = photo_left(light, blurred).mean(0)

    def power(fine: float, coarse: float, k: float) -> float:
        """The integral over the plane of the band's squared response times exp(-k w^2 / 2), over 2 pi."""
        return 1 / (2 * fine**2 + k) - 2 / (fine**2 + coarse**2 + k) + 1 / (2 * coarse**2 + k)

    for index, (fine, coarse) in enumerate(pairwise(SIGMAS), start=1):
        plain, once, twice = (power(fine, coarse, times * blur**2) for times in (0, 1, 2))
        assert float(found[index]) == pytest.approx(once / (plain * twice) ** 0.5, abs=0.01)


@pytest.mark.numerical
def test_nothing_is_left_in_another_picture() -> None:
    """The spread of one picture is 1 over the square root of the number of independent places of a band."""
    found = photo_left(noise(0, 16), noise(1, 16)).mean(0)
    for sigma, left in zip(SIGMAS, found.tolist(), strict=True):
        assert abs(left) < 5 * (3 * sigma / SIDE) / 16**0.5


@pytest.mark.numerical
def test_half_is_left_under_a_grain_of_equal_strength() -> None:
    """Half of the painting's variance is the photo's, so the correlation is the root of a half."""
    photo, grain = noise(0, 16), noise(1, 16)
    found = photo_left(photo, photo + grain).mean(0)
    for sigma, left in zip(SIGMAS, found.tolist(), strict=True):
        assert abs(left - 0.5**0.5) < 5 * (3 * sigma / SIDE) / 16**0.5


def test_plain_pictures_give_no_nan() -> None:
    """A plain painting has nothing left of the photo; a plain photo has nothing to leave."""
    light, plain = noise(0), torch.full((4, SIDE, SIDE), 0.3, dtype=torch.float64)
    assert torch.equal(photo_left(light, plain), torch.zeros(4, 5, dtype=torch.float64))
    assert photo_left(plain, light).isnan().all()
    assert photo_left(plain, plain).isnan().all()
    one = plain.clone()
    one[:, 5, 5] += 2 / 255
    torch.testing.assert_close(photo_left(one, one), torch.ones(4, 5, dtype=torch.float64))

    metric = PhotoLeft()
    metric.update(gray(torch.cat([light, plain])), real=True)
    metric.update(gray(torch.cat([light[:2], plain[:2], light])), real=False)
    assert [(score.value, score.n) for score in metric.scores()] == [(pytest.approx(0.5), (4, 4))] * 5


def test_what_does_not_belong_together_is_refused() -> None:
    light = gray(noise(0))
    metric = PhotoLeft()
    with pytest.raises(ValueError, match="at least 2 photos and their paintings, got 0"):
        metric.scores()
    metric.update(light[:1], real=True)
    with pytest.raises(ValueError, match="1 photos were given without their painting"):
        metric.scores()
    with pytest.raises(ValueError, match="photo 1 and its painting differ in size"):
        metric.update(light[:1, :, :-1], real=False)
    with pytest.raises(ValueError, match="not finite"):
        metric.update(light.log(), real=False)
    metric = PhotoLeft()
    for real in (True, False):
        metric.update(torch.zeros(3, 3, 32, 32), real=real)
    with pytest.raises(ValueError, match="at least 2 photos that are not plain, got 0"):
        metric.scores()


def test_photos_and_paintings_of_folders_go_by_name(tmp_path: Path) -> None:

    for folder, count in (("photos", 3), ("paintings", 5)):
        (tmp_path / folder).mkdir()
        for number, picture in enumerate(gray(noise(0, count, 64) / 4)):
            suffix = "png" if folder == "photos" else "bmp"
            images.to_rgb(picture.float()).save(tmp_path / folder / f"{number}.{suffix}")
    evaluation = Evaluator(inputs=tmp_path / "photos", size=64).evaluate(tmp_path / "paintings", ["photo-left"])
    assert [score.value for score in evaluation.scores] == pytest.approx([1] * 5, abs=1e-9)
    assert evaluation.scores[0].n == (3, 3)
    assert "2 of 5 paintings have no photo" in evaluation.notes[0]
