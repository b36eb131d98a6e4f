"""Films written frame by frame: codecs, and their options."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

from artgan.errors import ConfigError, PictureError, did_you_mean, one_line
from artgan.files import atomic_write, check_writable
from artgan.images.films.ffmpeg import BT709, FLAGS, FULL, LIMITED, pyav
from artgan.images.formats import FILM_FORMATS, film_format

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

QUALITY = 75
"""Of films, unless the user says so, on the scale of 1 to 100."""


@dataclass(frozen=True)
class _Codec:
    """How a codec encodes.

    Attributes:
        encoders: FFmpeg's, in order of preference.
        scale: the worst and the best value of the option ``quality``.
        quality: FFmpeg's option; None: there is none, as nothing is lost.
        options: further ones.
        pixels: FFmpeg's pixel format.
    """

    encoders: tuple[str, ...]
    scale: tuple[int, int] = (0, 0)
    quality: str | None = None
    options: Mapping[str, str] | None = None
    pixels: str = "yuv420p"

    @property
    def encoder(self) -> str | None:
        """The encoder that is there, or None."""
        return next((name for name in self.encoders if _encodes(name)), None)

    def options_for(self, quality: int) -> dict[str, str]:
        """FFmpeg's options for a quality of 1 to 100."""
        worst, best = self.scale
        value = round(worst + (best - worst) * (quality - 1) / 99)
        return {**(self.options or {}), **({self.quality: str(value)} if self.quality else {})}


# No frame refers to a later one, so that segments follow each other without gaps in their decoding times.
_CODECS = {
    "h264": _Codec(("libx264", "libopenh264"), (51, 7), "crf", {"bf": "0"}),
    "hevc": _Codec(("libx265",), (51, 10), "crf", {"x265-params": "bframes=0:log-level=error"}),
    "vp9": _Codec(("libvpx-vp9",), (63, 10), "crf", {"b": "0", "row-mt": "1", "cpu-used": "4"}),
    "av1": _Codec(("libsvtav1",), (63, 10), "crf", {"preset": "8", "svtav1-params": "pred-struct=1"}),
    "mpeg4": _Codec(("mpeg4",), (31, 1), "qmin", {"bf": "0", "flags": "+qscale"}),
    "ffv1": _Codec(("ffv1",), pixels="bgr0"),
}
CODECS = tuple(_CODECS)
"""Names of the codecs that films are written with."""


@cache
def _encodes(name: str) -> bool:
    av = pyav()
    try:
        return bool(av.Codec(name, "w").is_encoder)
    except av.error.FFmpegError:
        return False


def known_codec(name: str) -> str:
    """The name of a codec, if there is one.

    Raises:
        ConfigError: it is unknown, or FFmpeg cannot encode it here.
    """
    if name not in _CODECS:
        hint = did_you_mean(name, CODECS)
        raise ConfigError(f"--codec: must be one of {', '.join(CODECS)}, not {name!r}{hint and f'; {hint}'}")
    if _CODECS[name].encoder is None:
        raise ConfigError(f"--codec: the FFmpeg that PyAV brings here has no encoder for {name}")
    return name


def codec_for(path: str | os.PathLike[str], codec: str | None) -> str:
    """The codec of a film of this name: the one asked for, or the usual one.

    Raises:
        ConfigError: it is unknown, or FFmpeg cannot encode it here.
        PictureError: the format does not take it, or the name is none of a film.
    """
    format_ = film_format(path)
    if format_ is None:
        raise PictureError(f"{path}: is not the name of a film; known suffixes: {', '.join(FILM_FORMATS)}")
    if codec is None:
        usual = ("vp9", "av1") if format_ == "webm" else ("h264", "mpeg4")
        codec = next((name for name in usual if _CODECS[name].encoder), usual[-1])
    if known_codec(codec) not in supported(format_):
        raise PictureError(f"{path}: {Path(path).suffix} files cannot hold {codec}; choose another name or --codec")
    return codec


@cache
def supported(format_: str) -> frozenset[str]:
    """Codecs that a format of films takes."""
    av = pyav()
    with av.open(io.BytesIO(), "w", format=format_) as container:
        return frozenset(container.supported_codecs)


class FilmWriter:
    """Writes frames into a file, without sound.

    Args:
        file: opened for reading and writing.
        path: its final name, which says the format.
        size: of the frames, width and height.
        time_base: of their timestamps.
        rate: frames a second on average.
        codec: from :func:`codec_for`.
        quality: 1 to 100.

    Attributes:
        count: of the frames written.

    Raises:
        PictureError: the encoder refuses.
    """

    def __init__(
        self,
        file: IO[bytes],
        path: Path,
        *,
        size: tuple[int, int],
        time_base: Fraction,
        rate: Fraction,
        codec: str,
        quality: int = QUALITY,
    ) -> None:
        self._av = av = pyav()
        known = _CODECS[codec]
        self._pixels = known.pixels
        self._time_base = time_base
        self._path = path
        self._size = padded(size, codec)
        if known.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # it prints what it does otherwise
        self._container: OutputContainer = av.open(file, "w", format=film_format(path))
        stream = self._container.add_stream(
            known.encoder, rate=rate.limit_denominator(100_000), options=known.options_for(quality)
        )
        assert stream.type == "video"
        self._stream: VideoStream = stream
        stream.width, stream.height = self._size
        stream.pix_fmt = known.pixels
        context = stream.codec_context
        context.time_base = stream.time_base = time_base
        context.color_primaries, context.color_trc, context.colorspace = BT709, BT709, BT709
        context.color_range = FULL if known.pixels == "bgr0" else LIMITED
        if known.pixels == "bgr0":
            context.colorspace = 0
        self.count = 0

    def write(self, rgb: Image.Image, pts: int, duration: int) -> None:
        """Write a frame; see :class:`Frame`."""
        pixels = np.asarray(rgb.convert("RGB"))
        extra = [(0, own - had) for own, had in zip(self._size[::-1], pixels.shape[:2], strict=True)]
        if any(more for _, more in extra):
            pixels = np.pad(pixels, [*extra, (0, 0)], mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        if self._pixels == "bgr0":
            frame = frame.reformat(format="bgr0")
        else:
            frame = frame.reformat(
                format=self._pixels,
                interpolation=FLAGS,
                src_color_range=FULL,
                dst_colorspace=BT709,
                dst_color_range=LIMITED,
            )
            frame.color_primaries = frame.color_trc = frame.colorspace = BT709
            frame.color_range = LIMITED
        frame.pts, frame.time_base, frame.duration = pts, self._time_base, duration
        self._encode(frame)
        self.count += 1

    def close(self) -> None:
        """Write what the encoder holds, and the end of the file."""
        self._encode(None)
        self._container.close()

    def _encode(self, frame: VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.error.FFmpegError, ValueError) as error:
            raise PictureError(f"{self._path}: cannot be encoded ({one_line(error)})") from None


def encode_film(
    frames: Iterable[Image.Image],
    path: str | os.PathLike[str],
    *,
    rate: Fraction,
    quality: int = QUALITY,
    overwrite: bool = False,
) -> None:
    """Write frames as they are made, as a film without sound.

    Args:
        frames: at least one, mode RGB, of one size.
        path: a name with the suffix of a format of films; written atomically.
        rate: frames a second.
        quality: 1 to 100.
        overwrite: whether the file may exist.

    Raises:
        PictureError: the name is none of a film, or the file cannot be written.
        ConfigError: PyAV is not installed.
    """
    path = Path(path)
    check_writable(path, overwrite=overwrite, error=PictureError)
    codec = codec_for(path, None)
    try:
        with atomic_write(path) as part, part.open("w+b") as file:
            writer: FilmWriter | None = None
            for number, frame in enumerate(frames):
                if writer is None:
                    how = {"time_base": 1 / rate, "rate": rate}
                    writer = FilmWriter(file, path, size=frame.size, codec=codec, quality=quality, **how)
                writer.write(frame, number, 1)
            assert writer is not None
            writer.close()
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error})") from None


def padded(size: tuple[int, int], codec: str) -> tuple[int, int]:
    """The size that frames of ``size`` have in a file: colors of most codecs are stored for squares of four pixels."""
    if _CODECS[codec].pixels != "yuv420p":
        return size
    width, height = size
    return width + width % 2, height + height % 2
