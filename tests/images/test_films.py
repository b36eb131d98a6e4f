"""Films: every frame, when it is shown, its colors and its way up; and files that are none, or mean harm."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support import films
from support.films import pattern

from artgan import images
from artgan.errors import ConfigError, PictureError
from artgan.images.films import CODECS, FilmWriter, codec_for, join, open_film


def decoded(path: Path) -> tuple[list[np.ndarray], list[Fraction], list[str]]:
    with open_film(path) as film:
        frames = list(film.frames())
        assert film.size == frames[0].rgb.size
        return [np.asarray(f.rgb) for f in frames], [f.pts * film.time_base for f in frames], film.notes


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    times = [0, 1, 4, 5, 9]  # a variable frame rate
    path = films.write(tmp_path / "a.mp4", [pattern(n) for n in range(5)], times=times)
    frames, shown, notes = decoded(path)
    assert shown == [Fraction(time, 25) for time in times]
    assert notes == []
    for number, frame in enumerate(frames):
        others = [difference(frame, pattern(n)) for n in range(5)]
        assert np.argmin(others) == number
        assert others[number] < 4


def test_films_that_do_not_begin_at_zero_are_moved(tmp_path: Path) -> None:
    path = films.write(tmp_path / "a.ts", [pattern(n) for n in range(5)], times=range(100, 105))
    with av.open(str(path)) as container:
        assert container.start_time > 0
    assert [float(time) for time in decoded(path)[1]] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_frames_are_upright(tmp_path: Path, degrees: int) -> None:
    path = films.turned(films.write(tmp_path / "a.mp4", [pattern()] * 2), degrees)
    frames, _, _ = decoded(path)
    assert difference(frames[0], np.rot90(pattern(), -degrees // 90)) < 4


def test_pixels_become_square(tmp_path: Path) -> None:
    path = films.write(tmp_path / "a.mp4", [pattern()] * 2, aspect=Fraction(3, 2))
    frames, _, _ = decoded(path)
    wider = np.asarray(Image.fromarray(pattern()).resize((96, 48), Image.Resampling.BICUBIC))
    assert frames[0].shape == (48, 96, 3)
    assert difference(frames[0], wider) < 4


COLOR = (200, 60, 30)
MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # shares of red and blue in luma


def coded(matrix: int, full: bool, bits: int) -> list[float]:
    """Y, Cb and Cr of the color (ITU-R BT.601, BT.709, BT.2020)."""
    r, g, b = (value / 255 for value in COLOR)
    red, blue = MATRICES[matrix]
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = ((b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red))
    scale = 2 ** (bits - 8)
    if full:
        return [luma * 255 * scale, *(c * 255 * scale + 128 * scale for c in chroma)]
    return [(16 + 219 * luma) * scale, *((128 + 224 * c) * scale for c in chroma)]


def plain(path: Path, matrix: int, full: bool, bits: int, *, height: int = 48, tagged: bool = True) -> Path:
    """A film of the color alone."""
    name = "yuv420p" if bits == 8 else "yuv420p10le"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, height, name
        if tagged:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = 2 if full else 1
        for number in range(2):
            frame = av.VideoFrame(64, height, name)
            for plane, value in zip(frame.planes, coded(matrix, full, bits), strict=True):
                count = plane.buffer_size if bits == 8 else plane.buffer_size // 2
                plane.update(np.full(count, round(value), np.uint8 if bits == 8 else np.uint16).tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.color_range = 2 if full else 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_a_color_is_read_as_its_matrix_and_range_say(tmp_path: Path, matrix: int, full: bool, bits: int) -> None:
    frames, _, _ = decoded(plain(tmp_path / "a.mkv", matrix, full, bits))
    assert np.abs(frames[0].astype(int) - COLOR).max() <= 2


@pytest.mark.parametrize(("height", "matrix"), [(48, 6), (720, 1)])
def test_a_color_that_is_not_tagged_is_that_of_its_height(tmp_path: Path, height: int, matrix: int) -> None:
    frames, _, _ = decoded(plain(tmp_path / "a.mkv", matrix, False, 8, height=height, tagged=False))
    assert np.abs(frames[0].astype(int) - COLOR).max() <= 2


def written(path: Path, frames: list[np.ndarray], codec: str | None = None, quality: int = 90) -> Path:
    height, width = frames[0].shape[:2]
    segment = path.with_name(f"segment{path.suffix}")
    chosen = codec_for(path, codec)
    with segment.open("w+b") as file:
        writer = FilmWriter(
            file,
            path,
            size=(width, height),
            time_base=Fraction(1, 1000),
            rate=Fraction(25),
            codec=chosen,
            quality=quality,
        )
        for number, frame in enumerate(frames):
            writer.write(Image.fromarray(frame), 40 * number, 40)
        writer.close()
    source = films.write(path.with_name("source.mkv"), frames[:1] * 2)
    with path.open("w+b") as file:
        join([segment], source, file, path, metadata={"title": "Water lilies"})
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", None), ("a.mov", None), ("a.mkv", None), ("a.webm", None), ("a.mp4", "hevc"), ("a.mkv", "av1"),
     ("a.mov", "mpeg4"), ("a.mkv", "ffv1")],
)  # fmt: skip
def test_a_color_is_written_with_its_tags(tmp_path: Path, name: str, codec: str | None) -> None:
    size = (128, 64)
    path = written(tmp_path / name, [np.full((*size[::-1], 3), COLOR, np.uint8)] * 3, codec)
    made = films.read(path)
    assert made.stream["codec"] == (codec or ("vp9" if name == "a.webm" else "h264"))
    if codec != "ffv1":
        assert made.stream["tags"] == (1, 1, 1, 0 if codec == "mpeg4" else 1)  # MPEG-4's range is always limited
    assert np.abs(made.frames[1].astype(int) - COLOR).max() <= (0 if codec == "ffv1" else 3)
    assert [float(time) for time in made.times] == pytest.approx([0, 0.04, 0.08])
    assert made.metadata.get("title", made.metadata.get("TITLE")) == "Water lilies"


def test_quality_counts(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    for codec in set(CODECS) - {"ffv1"}:
        least, most = (written(tmp_path / "a.mkv", [*random], codec, quality).stat().st_size for quality in (20, 95))
        assert least < 0.8 * most, codec


def test_codecs_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--codec: must be one of h264, .*, not 'h246'; did you mean 'h264'\?$"):
        codec_for("a.mp4", "h246")
    with pytest.raises(PictureError, match=r"^a.webm: .webm files cannot hold h264; choose another name or --codec$"):
        codec_for("a.webm", "h264")


def test_high_dynamic_range_is_named_and_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=25, options={"x265-params": "log-level=none:bframes=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, 16, 1
        frame = av.VideoFrame(64, 64, "yuv420p10le")
        # Reference white, 203 cd/m2, is 58 % of PQ's range (ITU-R BT.2408).
        for plane, value in zip(frame.planes, (64 + 876 * 0.5807, 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, round(value), np.uint16).tobytes())
        frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = 9, 16, 9, 1
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frames, _, notes = decoded(path)
    assert notes == ["its high dynamic range is converted to sRGB"]
    assert frames[0].min() >= 250


def test_a_film_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = films.write(tmp_path / "a.mkv", [pattern(n) for n in range(100)]).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    frames, _, notes = decoded(path)
    assert 20 < len(frames) < 80
    assert len(notes) >= 1
    assert notes[0].startswith("it ends after ")
    assert notes[0].endswith(" of the 4.0 s that its header says")


def test_a_broken_part_in_the_middle_is_left_out_and_named(tmp_path: Path) -> None:
    path = films.write(tmp_path / "a.mkv", [pattern(n) for n in range(60)], codec="ffv1", pixels="bgr0", g="1")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        broken = bytes(packets[30])
    data = path.read_bytes()
    path.write_bytes(data.replace(broken, b"\xff" * len(broken)))
    frames, times, notes = decoded(path)
    assert len(frames) == 59
    assert float(times[-1]) == pytest.approx(59 / 25)
    assert difference(frames[-1], pattern(59)) < 1
    assert notes == ["1 damaged part of it could not be decoded and is left out"]


def test_what_is_no_film_is_refused_in_a_line(tmp_path: Path) -> None:
    mp4 = films.write(tmp_path / "whole.mp4", [pattern(n) for n in range(30)]).read_bytes()
    cases = {
        "no index.mp4": mp4[: mp4.index(b"moov") - 4],
        "header.mp4": mp4[:40],
        "junk.mp4": mp4[:32] + bytes(1000),
        "list.mpg": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n",
        "concat.mpg": b"ffconcat version 1.0\nfile whole.mp4\n",
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(PictureError) as caught, open_film(path) as film:
            list(film.frames())
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_sound_file_has_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(PictureError, match=r"a\.mkv: has no video; is it a sound file\?$"), open_film(path):
        pass


def test_huge_dimensions_are_refused_before_memory(tmp_path: Path) -> None:
    path = films.write(tmp_path / "a.avi", [pattern()] * 2, codec="ffv1", pixels="bgr0")
    data = bytearray(path.read_bytes())
    place = data.index(b"strf") + 8 + 4
    assert struct.unpack("<2i", data[place : place + 8]) == (64, 48)
    data[place : place + 8] = struct.pack("<2i", 60_000, 50_000)
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"have no size, or more than 40 megapixels"):
        decoded(path)


def test_films_are_told_by_their_content(tmp_path: Path) -> None:
    film = films.write(tmp_path / "a.mp4", [pattern()] * 2)
    picture = tmp_path / "b.mp4"
    Image.fromarray(pattern()).save(picture, "PNG")
    renamed = tmp_path / "c.jpg"
    renamed.write_bytes(film.read_bytes())
    stream = films.write(tmp_path / "d.ts", [pattern()] * 2)
    assert [images.is_film(path) for path in (film, picture, renamed, stream)] == [True, False, True, True]
    assert not images.is_film(tmp_path)
    assert not images.is_film(tmp_path / "none.mp4")
