"""Painting over strokes: whole, in tiles and in strips the same; strength, colors and seeds; pictures of any kind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image
from support.painting import paint, paint_batch, paint_files, paint_large
from torch import Tensor, nn

from artgan.errors import ConfigError, PictureError
from artgan.images import Picture
from artgan.interfaces import Generator, Interrupted
from artgan.painting import PLAIN, Manner, PaintOptions, Tiling, canvas, plan, underpainting
from artgan.painting import network as painting_network
from artgan.painting.brushwork import Brush, underpaint
from artgan.painting.palette import Palette, lab
from artgan.painting.underpainting import Study, enlarged, windows

BRUSH = Brush(layers=2, largest=0.06, smallest=0.02, longest=6)  # few strokes, for speed
CHINA = Image.fromarray(load_sample_image("china.jpg"))
FLOWER = Image.fromarray(load_sample_image("flower.jpg"))
PALETTE = Palette.of([np.asarray(FLOWER.resize((64, 43)))])
MANNERS = {
    "brush": Manner(BRUSH),
    "blend": Manner(BRUSH, strength=0.6, palette=PALETTE, palette_strength=0.7),
    "bold": Manner(BRUSH, strength=1.5, stroke_size=2.0, seed=7),
    "colors": Manner(BRUSH, keep_colors=True),
    "all": Manner(BRUSH, strength=1.3, keep_colors=True, stroke_size=0.5),
}
WITHOUT_BRUSH = {
    "blend": Manner(strength=0.3),
    "bold": Manner(strength=1.4),
    "colors": Manner(keep_colors=True),
    "palette": Manner(palette=PALETTE, palette_strength=0.8, strength=1.2),
}


class Network(Generator):
    """A convolution with a norm of the whole picture, as the fast networks have; remembers what it has seen."""

    reach = 2
    stride = 4
    minimum_size = 8
    thread_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5, padding=2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.randn(3, 3, 5, 5, generator=torch.Generator().manual_seed(0)) / 20)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen = [*self.seen[-99:], tuple(x.shape)]
        assert min(x.shape[2:]) >= self.minimum_size
        assert x.shape[2] % self.stride == x.shape[3] % self.stride == 0
        return (0.8 * x + self.conv(x)).clamp(-1, 1)


class Unbounded(Network):
    """Each pixel may depend on all of the picture."""

    reach = None  # type: ignore[assignment]  # a class attribute in place of the interface's

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + x.mean((2, 3), keepdim=True) / 4).clamp(-1, 1)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a picture need not be large to be drawn in several blocks."""
    for module in (canvas, underpainting):
        monkeypatch.setattr(module, "BLOCK", 64)


@pytest.fixture
def small_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a picture need not be large to be larger than what the network paints."""
    monkeypatch.setattr(underpainting, "FINISHING", 64)


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def means(image: Image.Image) -> np.ndarray:
    return lab(array(image)).reshape(-1, 3).mean(0)


# ---- the same however it is divided


@pytest.mark.slow
@pytest.mark.parametrize("size", [(180, 120), (60, 44), pytest.param((33, 330), marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS)
@pytest.mark.usefixtures("small_finish")
def test_tiles_and_strips_are_exactly_the_whole(tmp_path: Path, size: tuple[int, int], manner: Manner) -> None:
    photo = CHINA.resize(size)
    photo.save(tmp_path / "photo.png")
    whole = paint(Network(), photo, manner=manner)
    assert whole.size == size
    for side in (16, 50):
        tiles = paint(Network(), photo, manner=manner, tiling=Tiling(side))
        np.testing.assert_array_equal(array(tiles), array(whole))
    pytest.importorskip("pyvips", exc_type=ImportError)
    paint_large(Network(), tmp_path / "photo.png", tmp_path / "painting.png", manner=manner, tiling=Tiling(40))
    with Image.open(tmp_path / "painting.png") as strips:
        np.testing.assert_array_equal(array(strips), array(whole))


@pytest.mark.parametrize("manner", WITHOUT_BRUSH.values(), ids=WITHOUT_BRUSH)
def test_without_a_brush_tiles_and_strips_are_the_whole(tmp_path: Path, manner: Manner) -> None:
    photo = CHINA.resize((180, 120))
    photo.save(tmp_path / "photo.png")
    whole = array(paint(Network(), photo, manner=manner)).astype(int)
    tiles = paint(Network(), photo, manner=manner, tiling=Tiling(40))
    assert np.abs(array(tiles) - whole).max() <= 1  # a convolution rounds otherwise in tiles of another size
    pytest.importorskip("pyvips", exc_type=ImportError)
    paint_large(Network(), tmp_path / "photo.png", tmp_path / "painting.png", manner=manner, tiling=Tiling(40))
    with Image.open(tmp_path / "painting.png") as strips:
        np.testing.assert_array_equal(array(strips), array(tiles))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.integers(16, 80),
    st.builds(
        Manner,
        st.just(BRUSH),
        st.floats(0.5, 3),
        st.just(PALETTE),
        st.floats(0, 1),
        st.floats(0, 1.5),
        st.booleans(),
        st.integers(0, 2**63 - 1),
    ),
)
def test_any_size_and_manner(width: int, height: int, side: int, manner: Manner) -> None:
    photo = FLOWER.resize((width, height))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(underpainting, "FINISHING", 48)
        whole = paint(Network(), photo, manner=manner)
        assert whole.size == (width, height)
        tiles = paint(Network(), photo, manner=manner, tiling=Tiling(side))
    np.testing.assert_array_equal(array(tiles), array(whole))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(1, 40))
def test_a_window_of_what_is_enlarged_is_that_part_of_the_whole(data, rows, columns, width, height) -> None:
    values = np.random.default_rng(0).normal(0, 50, (rows, columns, 3)).astype(np.float32)
    whole = enlarged(values, (width, height), (0, 0, width, height))
    assert whole.shape == (height, width, 3)
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    part = enlarged(values, (width, height), (left, top, right, bottom))
    np.testing.assert_array_equal(part, whole[top:bottom, left:right])


@pytest.mark.exhaustive
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 90))
def test_strokes_of_a_giant_picture_are_enlarged(width: int, height: int, side: int) -> None:
    photo = CHINA.resize((width, height))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(underpainting, "FINISHING", 24)
        patch.setattr(underpainting, "DRAWN", 60)
        whole = paint(Network(), photo, manner=Manner(BRUSH))
        tiles = paint(Network(), photo, manner=Manner(BRUSH), tiling=Tiling(side))
    np.testing.assert_array_equal(array(tiles), array(whole))


def test_what_is_enlarged_is_smooth_and_not_moved() -> None:
    y, x = np.mgrid[0:8, 0:12] + 0.5
    values = np.stack([x / 12, y / 8, 0 * x + 5], -1).astype(np.float32)
    large = enlarged(values, (120, 80), (0, 0, 120, 80))
    y, x = np.mgrid[0:80, 0:120] + 0.5
    inner = (slice(15, -15), slice(15, -15))  # beyond, the last values are repeated
    np.testing.assert_allclose(large[inner], np.stack([x / 120, y / 80, 0 * x + 5], -1)[inner], atol=1e-5)
    np.testing.assert_allclose(large[..., 2], 5, atol=1e-5)
    np.testing.assert_array_equal(enlarged(values, (12, 8), (0, 0, 12, 8)), values)


def test_windows_cover_a_picture_once() -> None:
    seen = np.zeros((70, 90), int)
    for left, top, right, bottom in windows((90, 70), 32):
        seen[top:bottom, left:right] += 1
    assert (seen == 1).all()


# ---- what is painted


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_a_small_painting_is_what_the_network_makes_of_the_under_painting(width: int, height: int) -> None:
    photo = CHINA.resize((width, height))
    under = Image.fromarray(underpaint(array(photo), BRUSH, 3))
    painting = paint(Network(), photo, manner=Manner(BRUSH, seed=3))
    np.testing.assert_array_equal(array(painting), array(paint(Network(), under)))


@pytest.mark.usefixtures("small_finish")
def test_the_network_paints_a_small_under_painting_and_its_change_is_enlarged() -> None:
    photo, network = CHINA.resize((300, 200)), Network()
    painting = array(paint(network, photo, manner=Manner(BRUSH))).astype(float)
    assert network.seen == [(1, 3, 64, 96)]
    study = Study.of(photo, Manner(BRUSH))
    assert study.finishing == (96, 64)
    change = array(paint(network, Image.fromarray(study.under))).astype(np.float32) - study.under
    expected = underpaint(array(photo), BRUSH) + enlarged(change, (300, 200), (0, 0, 300, 200))
    assert np.abs(painting - np.clip(expected, 0, 255)).mean() < 1


@pytest.mark.usefixtures("small_finish")
def test_a_small_and_a_large_picture_become_the_same_painting() -> None:
    small, large = (paint(Network(), CHINA.resize(size), manner=Manner(BRUSH)) for size in ((96, 64), (576, 384)))
    seen = array(large.resize((96, 64), Image.Resampling.BOX)).astype(float)
    assert np.corrcoef(array(small).ravel(), seen.ravel())[0, 1] > 0.96


def test_a_plain_manner_is_the_network_alone() -> None:
    photo = CHINA.resize((90, 60))
    assert PLAIN.is_plain
    assert Manner(stroke_size=1, seed=9, palette=PALETTE).is_plain
    expected = paint(Network(), photo)
    np.testing.assert_array_equal(array(paint(Network(), photo, manner=Manner(seed=3))), array(expected))
    assert not any(manner.is_plain for manner in (*MANNERS.values(), *WITHOUT_BRUSH.values()))


@pytest.mark.usefixtures("small_finish")
def test_the_seed_decides() -> None:
    photo = CHINA.resize((150, 100))
    first, again, other = (array(paint(Network(), photo, manner=Manner(BRUSH, seed=seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


@pytest.mark.parametrize("brush", [BRUSH, None], ids=["brush", "none"])
@pytest.mark.usefixtures("small_finish")
def test_strength_leads_from_the_photo_to_the_painting_and_beyond(brush: Brush | None) -> None:
    photo = CHINA.resize((150, 100))

    def painted(strength: float, **more: Any) -> np.ndarray:
        return array(paint(Network(), photo, manner=Manner(brush, strength=strength, **more))).astype(int)

    np.testing.assert_array_equal(painted(0), array(photo))
    np.testing.assert_array_equal(painted(0, keep_colors=True, seed=4), array(photo))
    one = painted(1)
    assert np.abs(painted(0.5) - (one + array(photo)) / 2).max() <= 1
    study = Study.of(photo, Manner(brush))
    under = array(photo) if study.strokes is None else study.strokes.draw(photo.size)
    more = painted(1.5)
    inside = (more > 0) & (more < 255) & (one > 0) & (one < 255)
    assert np.abs(more - (under + 1.5 * (one - under.astype(float))))[inside].max() <= 1.3  # one is rounded


@pytest.mark.parametrize("brush", [BRUSH, None], ids=["brush", "none"])
@pytest.mark.parametrize("photo", [CHINA, FLOWER], ids=["china", "flower"])
def test_colors_are_kept_and_the_lightness_is_the_paintings(brush: Brush | None, photo: Image.Image) -> None:
    class Tinted(Network):
        def forward(self, x: Tensor) -> Tensor:
            return (super().forward(x) + torch.tensor([0.15, -0.1, -0.15])[:, None, None]).clamp(-1, 1)

    photo = photo.resize((150, 100))
    free = paint(Tinted(), photo, manner=Manner(brush))
    kept = paint(Tinted(), photo, manner=Manner(brush, keep_colors=True))
    assert np.abs(means(free) - means(photo))[1:].max() > 4
    assert np.abs(means(kept) - means(photo))[1:].max() < 2
    assert np.abs(means(kept) - means(free))[0] < 2


@pytest.mark.parametrize("brush", [BRUSH, None], ids=["brush", "none"])
def test_a_palette_draws_colors_to_itself(brush: Brush | None) -> None:
    photo = CHINA.resize((150, 100))
    target = PALETTE.means[0][1:]
    far = []
    for strength in (0.0, 0.5, 1.0):
        painting = paint(Network(), photo, manner=Manner(brush, palette=PALETTE, palette_strength=strength))
        far.append(float(np.hypot(*(means(painting)[1:] - target))))
    assert far[0] > far[1] + 1 > far[2] + 2


# ---- pictures of any kind


@pytest.mark.slow
@pytest.mark.parametrize(
    "photo",
    [
        Image.new("RGB", (1, 1), (200, 30, 90)),
        Image.new("RGB", (70, 50)),
        Image.new("RGB", (70, 50), "white"),
        Image.new("L", (70, 50), 128),
        CHINA.resize((1, 120)),
        CHINA.resize((400, 4)),
        pytest.param(CHINA.resize((1, 300)), marks=pytest.mark.exhaustive),
        pytest.param(CHINA.resize((2000, 4)), marks=pytest.mark.exhaustive),
        CHINA.resize((70, 50)).convert("L"),
    ],
    ids=["1x1", "black", "white", "gray", "column", "row", "long column", "long row", "black-and-white"],
)
@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS)
def test_odd_pictures_are_painted(photo: Image.Image, manner: Manner) -> None:
    painting = paint(Network(), photo, manner=manner)
    assert (painting.size, painting.mode) == (photo.size, "RGB")


@pytest.mark.slow
def test_a_strip_is_painted() -> None:
    painting = paint(Network(), CHINA.resize((10_000, 20)), manner=Manner(BRUSH))
    assert painting.size == (10_000, 20)


@pytest.mark.usefixtures("small_finish")
def test_transparency_and_profile_are_kept() -> None:
    photo = CHINA.resize((150, 100))
    photo.putalpha(Image.linear_gradient("L").resize((150, 100)))
    photo.info["icc_profile"] = b"\0" * 16 + b"RGB " + b"\0" * 16 + b"acsp" + b"\0" * 100
    for manner in MANNERS.values():
        painting = paint(Network(), photo, manner=manner)
        np.testing.assert_array_equal(array(painting.getchannel("A")), array(photo.getchannel("A")))
        assert painting.info["icc_profile"] == photo.info["icc_profile"]


@pytest.mark.usefixtures("small_finish")
def test_a_network_of_unbounded_reach_paints_large_pictures_too(tmp_path: Path) -> None:
    photo = CHINA.resize((180, 120))
    whole = paint(Unbounded(), photo, manner=Manner(BRUSH))
    tiles = paint(Unbounded(), photo, manner=Manner(BRUSH), tiling=Tiling(32))
    np.testing.assert_array_equal(array(tiles), array(whole))
    with pytest.raises(ConfigError, match="cannot paint in tiles"):
        paint(Unbounded(), photo, manner=Manner(strength=0.5), tiling=Tiling(32))
    pytest.importorskip("pyvips", exc_type=ImportError)
    photo.save(tmp_path / "photo.png")
    paint_large(Unbounded(), tmp_path / "photo.png", tmp_path / "painting.png", manner=Manner(BRUSH))
    with Image.open(tmp_path / "painting.png") as strips:
        np.testing.assert_array_equal(array(strips), array(whole))


@pytest.mark.usefixtures("small_finish")
def test_another_runtime_paints_over_the_same_strokes() -> None:
    network, photo = Network(), CHINA.resize((150, 100))

    class Other(painting_network.Network):
        """Knows nothing of PyTorch."""

        stride, minimum_size = network.stride, network.minimum_size

        def paint(self, pictures: Any, options: Any, places: Any = None) -> Any:
            return network(torch.from_numpy(pictures)).detach().numpy()

    other = Other()
    np.testing.assert_array_equal(
        array(paint(other, photo, manner=MANNERS["all"])), array(paint(network, photo, manner=MANNERS["all"]))
    )


def test_what_is_no_picture_is_told() -> None:
    class Broken(Network):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.nan

    with pytest.raises(PictureError, match="not finite"):
        paint(Broken(), CHINA.resize((40, 30)), manner=Manner(BRUSH))


# ---- batches and files


@pytest.mark.slow
@pytest.mark.usefixtures("small_finish")
def test_pictures_of_a_batch_are_painted_in_one_call_and_as_alone() -> None:
    photos = [CHINA.resize((150, 100)), FLOWER.resize((150, 100))]
    for manner in (*MANNERS.values(), *WITHOUT_BRUSH.values()):
        network = Network()
        paintings = paint_batch(network, [Picture(photo) for photo in photos], manner=manner)
        assert [shape[0] for shape in network.seen] == [2]
        for photo, painting in zip(photos, paintings, strict=True):
            alone = array(paint(Network(), photo, manner=manner)).astype(int)
            assert np.abs(array(painting) - alone).max() <= 1


@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (1, 3), (2, 1)])
@pytest.mark.usefixtures("small_finish")
def test_files_are_painted_as_pictures_are(
    tmp_path: Path, threads: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(threads)
    for number, (photo, size) in enumerate([(CHINA, (90, 60)), (FLOWER, (90, 60)), (CHINA, (120, 90))]):
        photo.resize(size).save(tmp_path / f"{number}.png")
    jobs = plan([tmp_path], tmp_path / "out", tag="x")
    for result in paint_files(Network(), jobs, batch=batch, manner=MANNERS["blend"]):
        assert result.error is None
        assert result.output is not None
        with Image.open(result.output) as painting:
            expected = array(paint(Network(), result.input, manner=MANNERS["blend"])).astype(int)
            assert np.abs(array(painting) - expected).max() <= 1


def test_a_picture_whose_strokes_fail_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, size in enumerate([(40, 30), (50, 30), (60, 30)]):
        CHINA.resize(size).save(tmp_path / f"{number}.png")
    trace = underpainting.trace

    def failing(small: Any, *more: Any) -> Any:
        if small.shape[1] == round(256 * 50 / 30):
            raise MemoryError
        return trace(small, *more)

    monkeypatch.setattr(underpainting, "trace", failing)
    results = list(paint_files(Network(), plan([tmp_path], tmp_path / "out", tag="x"), manner=Manner(BRUSH)))
    assert [result.error is None for result in results] == [True, False, True]
    assert "1.png: cannot be painted (MemoryError)" in str(results[1].error)


@pytest.mark.usefixtures("small_finish")
def test_what_is_made_before_an_interruption_is_kept() -> None:
    class Slow(Network):
        one_at_a_time = True

        def generate(self, x: Tensor, **options: Any) -> Tensor:
            raise Interrupted(self(x).detach())

    photo = CHINA.resize((150, 100))
    with pytest.raises(Interrupted) as caught:
        paint(Slow(), photo, manner=Manner(BRUSH))
    np.testing.assert_array_equal(array(caught.value.made[0]), array(paint(Network(), photo, manner=Manner(BRUSH))))


@pytest.mark.slow
def test_studies_made_at_the_same_time_are_those_made_alone() -> None:
    photos = [photo.resize(size) for photo in (CHINA, FLOWER) for size in ((300, 200), (90, 120))]
    alone = [Study.of(photo, MANNERS["all"]).under for photo in photos]
    with ThreadPoolExecutor(2) as pool:
        together = [study.under for study in pool.map(lambda photo: Study.of(photo, MANNERS["all"]), photos * 2)]
    for one, other in zip(alone * 2, together, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- options


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"stroke_size": 0.4}, "stroke_size: must be at least 0.5, not 0.4 (from 0.5 to 3.0)"),
        ({"stroke_size": 4}, "stroke_size: must be at most 3.0, not 4.0 (from 0.5 to 3.0)"),
        ({"strength": -0.1}, "strength: must be at least 0.0, not -0.1 (from 0.0 to 1.5)"),
        ({"strength": 2}, "strength: must be at most 1.5"),
        ({"strength": float("nan")}, "strength: must be finite"),
        ({"palette": 1.1}, "palette: must be at most 1.0"),
        ({"palette": "a"}, "palette: must be a number"),
        ({"seed": -1}, "seed: must be at least 0"),
        ({"seed": 2**63}, "seed: is too large a number"),
        ({"keep_colors": 1}, "keep_colors: must be true or false"),
        ({"brush": 3}, "brush: must be a text"),
    ],
)
def test_bad_options_are_told_with_their_range(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PaintOptions(**values)
    assert told in str(caught.value)
