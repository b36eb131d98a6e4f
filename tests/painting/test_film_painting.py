"""Films painted from file to file: times, sound, sittings, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from support import films
from support.films import pattern

from artgan.errors import Interrupted, PictureError
from artgan.images import Picture
from artgan.painting import films as painting_films
from artgan.painting import paint_files, plan
from artgan.painting.brushwork import Brush
from artgan.painting.films import FilmSaving, paint_film, unfinished
from artgan.painting.manner import PLAIN, Manner
from artgan.painting.moving import Frames
from artgan.painting.network import Network, Pictures


class Negative(Network):
    """Paints the negative, and can be interrupted or break after some frames."""

    def __init__(self, stop: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.painted = 0
        self.stop = stop
        self.error = error

    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: object = None) -> Pictures:
        if self.painted == self.stop:
            raise self.error
        self.painted += 1
        return -pictures


def paint(source: Path, path: Path, network: Network | None = None, manner: Manner = PLAIN, **saving: Any) -> Any:
    return paint_film(source, path, Frames(network or Negative(), manner, {}), FilmSaving(**{"quality": 95} | saving))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting_films, "SEGMENT", 4)


def test_frames_times_sound_and_title_are_kept(tmp_path: Path) -> None:
    times = [0, 1, 3, 4, 8, 9, 11, 12, 15, 20]
    source = films.write(
        tmp_path / "a.mp4", [pattern(n) for n in range(10)], times=times, sound="aac", metadata={"title": "Étretat"}
    )
    size, notes = paint(source, tmp_path / "b.mp4")
    made = films.read(tmp_path / "b.mp4")
    assert size == (64, 48)
    assert notes == []
    assert made.times == [Fraction(time, 25) for time in times]
    assert made.sound == films.read(source).sound
    assert len(made.sound) > 10
    assert made.metadata["title"] == "Étretat"
    for number in range(10):
        assert difference(made.frames[number], 255 - pattern(number)) < 8
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(("name", "sound"), [("b.webm", "opus"), ("b.mov", "aac"), ("b.mkv", "aac")])
def test_films_change_their_format(tmp_path: Path, name: str, sound: str) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(6)], sound="aac")
    _, notes = paint(source, tmp_path / name)
    made = films.read(tmp_path / name)
    # Matroska has no times before 0, where AAC begins: picture and sound are moved together.
    first = float(made.times[0])
    assert first < 0.03
    assert [float(time) - first for time in made.times] == pytest.approx([n / 25 for n in range(6)], abs=0.002)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == sound
    again = "its sound (aac) is encoded again (opus), as the format does not take it"
    assert notes == ([again] if name == "b.webm" else [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "manner"),
    [
        (6, PLAIN),
        pytest.param(8, PLAIN, marks=pytest.mark.exhaustive),
        pytest.param(1, PLAIN, marks=pytest.mark.exhaustive),
        pytest.param(6, Manner(Brush()), marks=pytest.mark.exhaustive),
    ],
)
def test_a_film_in_two_sittings_is_the_same(tmp_path: Path, stop: int, manner: Manner) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(10)], sound="aac")
    paint(source, tmp_path / "whole.mp4", manner=manner)
    path = tmp_path / "b.mp4"
    with pytest.raises(Interrupted) as caught:
        paint(source, path, Negative(stop), manner)
    assert not path.exists()
    done = unfinished(path)
    then = "; the same command continues it" if stop >= 4 else ""
    assert caught.value.made == f"interrupted after {stop / 25:.1f} of 0.4 s, which are in {done}{then}"
    part = films.read(done)
    assert len(part.frames) == stop
    assert len(part.sound) < len(films.read(source).sound)
    network = Negative()
    paint(source, path, network, manner)
    assert network.painted == 10 - stop // 4 * 4 + (stop >= 4)  # the first frame tells whether it is the same film
    assert path.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not done.exists()
    assert not path.with_name("b.mp4.part").exists()


@pytest.mark.slow
def test_another_painting_begins_anew(tmp_path: Path) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(6)])
    path = tmp_path / "b.mp4"
    for change in ({"quality": 60}, {"manner": Manner(strength=0.5)}):
        with pytest.raises(Interrupted):
            paint(source, path, Negative(5))
        network = Negative()
        paint(source, path, network, **{"overwrite": True} | change)
        assert network.painted == 6
        path.unlink()


def test_an_interruption_before_the_first_frame_keeps_an_earlier_sitting(tmp_path: Path) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(6)])
    path = tmp_path / "b.mp4"
    with pytest.raises(Interrupted):
        paint(source, path, Negative(5))
    with pytest.raises(KeyboardInterrupt) as caught:
        paint(source, path, Negative(0))
    assert not isinstance(caught.value, Interrupted)
    network = Negative()
    paint(source, path, network)
    assert network.painted == 6 - 4 + 1
    with pytest.raises(KeyboardInterrupt):
        paint(source, tmp_path / "c.mp4", Negative(0))
    assert not (tmp_path / "c.mp4.part").exists()


def test_a_failure_leaves_no_film(tmp_path: Path) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(6)])
    [result] = paint_files(Negative(5, ZeroDivisionError), plan([source], tmp_path / "b.mp4", tag="x"))
    assert result.error is not None
    assert result.error.startswith(f"{source}: cannot be painted (ZeroDivisionError")
    assert not (tmp_path / "b.mp4").exists()


def test_odd_sides_are_padded_by_a_pixel_and_said(tmp_path: Path) -> None:
    odd = [np.ascontiguousarray(pattern()[:45, :61])] * 3
    source = films.write(tmp_path / "a.mkv", odd, codec="ffv1", pixels="bgr0")
    size, notes = paint(source, tmp_path / "b.mp4")
    assert size == (61, 45)
    assert notes == ["its 61 x 45 pixels became 62 x 46, because h264 needs even sides"]
    frame = films.read(tmp_path / "b.mp4").frames[0]
    assert frame.shape == (46, 62, 3)
    assert difference(frame[:45, :61], 255 - odd[0]) < 5
    paint(source, tmp_path / "c.mkv", codec="ffv1")
    assert np.array_equal(films.read(tmp_path / "c.mkv").frames[0], 255 - odd[0])


def test_places_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    known = {"title": "Pond", "location": "+48.99+002.00/"}
    source = films.write(tmp_path / "a.mkv", [pattern()] * 2, metadata=known)
    for saving, expected in (
        ({}, {"TITLE"}),
        ({"location": True}, {"TITLE", "LOCATION"}),
        ({"metadata": False}, set()),
    ):
        path = tmp_path / "b.mkv"
        paint(source, path, overwrite=True, **saving)
        assert {key.upper() for key in films.read(path).metadata} & {"TITLE", "LOCATION"} == expected


def test_an_existing_film_is_not_replaced(tmp_path: Path) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern()] * 2)
    (tmp_path / "b.mp4").write_bytes(b"mine")
    with pytest.raises(PictureError, match="exists already"):
        paint(source, tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == b"mine"


def test_a_folder_of_films_and_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "trip"
    folder.mkdir()
    films.write(folder / "a.mp4", [pattern(n) for n in range(3)])
    films.write(folder / "b.avi", [pattern(n) for n in range(3)], codec="mpeg4", q="3")
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:600])
    Image.fromarray(pattern()).save(folder / "c.png")
    jobs = plan([folder], tmp_path / "out", tag="x")
    results = {result.input.name: result for result in paint_files(Negative(), jobs)}
    assert {name: result.output and result.output.name for name, result in results.items()} == {
        "a.mp4": "a.mp4", "b.avi": "b.mp4", "broken.mp4": None, "c.png": "c.png"
    }  # fmt: skip
    assert "cannot be read as a film" in (results["broken.mp4"].error or "")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.mp4", "b.mp4", "c.png"]
    assert results["a.mp4"].size == (64, 48)


def test_an_interrupted_film_is_a_result_that_says_where_it_is(tmp_path: Path) -> None:
    source = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(8)])
    results = paint_files(Negative(6), plan([source], tmp_path / "b.mp4", tag="x"))
    result = next(results)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    part = tmp_path / "b.part.mp4"
    how = "the same command continues it"
    assert result.error == f"{source}: interrupted after 0.2 of 0.3 s, which are in {part}; {how}"


def test_without_the_extra_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = films.write(tmp_path / "a.mp4", [pattern()] * 2)
    monkeypatch.setattr("artgan.images.formats._installed", lambda module: module not in ("av", "cv2"))
    [result] = paint_files(Negative(), plan([film], tag="x"))
    assert result.error == f'{film}: is a video; artgan paint paints it: pip install "artgan[video]"'


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".gif", ".png", pytest.param(".webp", marks=pytest.mark.exhaustive)])
def test_animations_are_painted_steadily(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(0)
    ground = np.kron(random.integers(40, 215, (6, 8, 3)), np.ones((12, 12, 1)))
    frames = [Image.fromarray(np.clip(ground + random.normal(0, 2, ground.shape), 0, 255).astype("u1")) for _ in "abcd"]
    path, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 50, 60, 70], loop=0, **options)
    [result] = paint_files(Negative(), plan([path], out, tag="x"), manner=Manner(Brush()))
    assert result.error is None
    assert result.note is None
    with Image.open(out) as image:
        made = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    with Image.open(path) as image:
        read = [Picture(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    singles = [np.asarray(Frames(Negative(), Manner(Brush()), {}).paint(picture)) for picture in read]
    assert len(made) == 4
    changes = [np.mean([difference(a, b) for a, b in pairwise(each)]) for each in (made, singles)]
    assert 3 * changes[0] < changes[1]
