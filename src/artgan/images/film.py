"""Films, read and written frame by frame; PyAV, which brings FFmpeg's libraries, is imported when one is met.

Frames come upright, in square pixels and in sRGB, as pictures do. They keep their timestamps, so that a variable frame
rate stays what it is. Sound is copied, packet by packet, from file to file.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from artgan.errors import ConfigError, PictureError, one_line
from artgan.images.coding import from_codes, to_srgb
from artgan.images.formats import FILM_FORMATS, film_format
from artgan.images.picture import check_size

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_FRAME_PIXELS = 40_000_000
"""The largest frame that is decoded, in pixels: 8K is 33 megapixels, and decoders hold up to 16 frames."""

QUALITY = 75
"""Of films, unless the user says so, on the scale of 1 to 100."""

# Formats that hold one film in one file. Others are refused: a playlist would make FFmpeg open what it names.
_READ = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,m4v"
_FLAGS = 4 | 0x2000 | 0x40000  # of libswscale: bicubic, all chroma interpolated, accurate rounding
_BT709, _BT601, _LIMITED, _FULL = 1, 5, 1, 2  # matrices and ranges, as libswscale counts them
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # libswscale's, by H.273's number
_UNSPECIFIED = 2
_HD = 720  # rows from which on a film that does not say is BT.709
_LOCATION = ("location", "com.apple.quicktime.location")  # what keys of a place begin with


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
    av = _av()
    try:
        return bool(av.Codec(name, "w").is_encoder)
    except av.error.FFmpegError:
        return False


def _av() -> ModuleType:
    try:
        import av
        import av.error
    except ImportError:
        raise ConfigError('films need PyAV: pip install "artgan[video]"') from None
    av.logging.set_level(None)  # what matters comes as an exception
    return av


# ---- reading


@dataclass(frozen=True)
class Frame:
    """A frame.

    Attributes:
        rgb: upright, in square pixels and sRGB, mode RGB.
        pts: when it is shown, in the film's time base.
        duration: how long, in the time base; 0 if the file does not say.
    """

    rgb: Image.Image
    pts: int
    duration: int


class Film:
    """An opened film.

    Attributes:
        size: width and height of the frames, of those that come upright.
        time_base: seconds that timestamps count.
        rate: frames a second on average.
        count: of frames, about; None if the file does not say.
        metadata: of the file: title, date and more.
        notes: what the file has that its frames do not show, each the rest of a sentence.
        broken: parts that could not be decoded, so far.
    """

    def __init__(self, container: InputContainer, name: str) -> None:
        videos = [stream for stream in container.streams.video if not stream.disposition & 0x400]  # a cover's picture
        if not videos:
            raise PictureError(f"{name}: has no video; is it a sound file?")
        self._container = container
        self._name = name
        self._video = video = videos[0]
        context = video.codec_context
        width, height = context.width, context.height
        check_size((width, height), name, MAX_FRAME_PIXELS)
        aspect = context.sample_aspect_ratio or Fraction(1)
        self._square = (width, height)
        if aspect > 0 and aspect != 1 and Fraction(1, 8) <= aspect <= 8:
            self._square = (max(2, 2 * round(width * aspect / 2)), height)
            check_size(self._square, name, MAX_FRAME_PIXELS)
        self.size = self._square
        self.time_base = video.time_base or Fraction(1, 90_000)
        self.rate = video.average_rate or video.guessed_rate or Fraction(25)
        seconds = container.duration / 1_000_000 if container.duration else None
        self.seconds = float(video.duration * self.time_base) if video.duration else seconds
        self.count = video.frames or (round(self.seconds * self.rate) if self.seconds else None)
        self.metadata = dict(container.metadata)
        self.broken = 0
        self.notes: list[str] = []
        # All of the file is moved so that it begins at 0, as films in some containers do not.
        start = Fraction(container.start_time or 0, 1_000_000)
        self._start = round(start / self.time_base)
        if len(videos) > 1:
            self.notes.append(f"only the first of its {len(videos)} videos is painted")
        if container.streams.subtitles:
            which = ", ".join(sorted({stream.language or "unnamed" for stream in container.streams.subtitles}))
            self.notes.append(f"its subtitles ({which}) are left out")

    @property
    def audio(self) -> Sequence[AudioStream]:
        """The sound's streams."""
        return self._container.streams.audio

    def frames(self) -> Iterator[Frame]:
        """Decode the frames, in order; what cannot be decoded is counted and left out.

        Raises:
            PictureError: there are none, or one is too large.
        """
        av = _av()
        last: int | None = None
        step = max(1, round(1 / (self.rate * self.time_base)))
        for decoded in self._decoded(av):
            check_size((decoded.width, decoded.height), self._name, MAX_FRAME_PIXELS)
            pts = (last + step if last is not None else 0) if decoded.pts is None else decoded.pts - self._start
            if last is None:
                self._look(decoded)
            elif pts <= last:  # times must rise
                pts = last + 1
            last = pts
            yield Frame(self._upright(decoded), pts, decoded.duration or 0)
        if last is None:
            raise PictureError(f"{self._name}: no frame of it can be decoded; it is damaged, or was cut off")
        end = float((last - 0) * self.time_base)
        if self.seconds and end < self.seconds - max(1.0, 2 / float(self.rate)):
            self.notes.append(f"it ends after {end:.1f} of the {self.seconds:.1f} s that its header says")
        if self.broken:
            self.notes.append(f"{self.broken:,} damaged parts of it could not be decoded and are left out")

    def _decoded(self, av: ModuleType) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._video)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:  # cut off in the middle
                self.broken += 1
                packet = None
            try:
                yield from self._video.codec_context.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.broken += 1
            if packet is None or (packet.dts is None and packet.size == 0):
                return

    def _look(self, frame: VideoFrame) -> None:
        """What the first frame says of all."""
        if abs(frame.rotation) % 180 == 90:
            self.size = self.size[::-1]
        if frame.interlaced_frame:
            self.notes.append("it is interlaced, and painted as it is; deinterlace it first")
        if frame.color_trc in (16, 18):
            self.notes.append("its high dynamic range becomes sRGB")
        if any(component.is_alpha for component in frame.format.components):
            self.notes.append("its transparency is left out")

    def _upright(self, frame: VideoFrame) -> Image.Image:
        unspecified = _BT709 if frame.height >= _HD else _BT601
        how: dict[str, Any] = {"interpolation": _FLAGS, "width": self._square[0], "height": self._square[1]}
        if not frame.format.is_rgb:
            how["src_colorspace"] = _MATRICES.get(frame.colorspace, unspecified)
            full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
            how |= {"src_color_range": _FULL if full else _LIMITED, "dst_color_range": _FULL}
        primaries = frame.color_primaries if frame.color_primaries != _UNSPECIFIED else 1
        coding = from_codes(primaries, frame.color_trc)
        if coding is None:
            image = Image.fromarray(frame.reformat(format="rgb24", **how).to_ndarray())
        else:
            image = to_srgb(frame.reformat(format="rgb48le", **how).to_ndarray(), coding)
        turns = round(frame.rotation / 90) % 4
        turn = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)[turns]
        return image if turn is None else image.transpose(turn)


@contextmanager
def open_film(path: str | os.PathLike[str]) -> Iterator[Film]:
    """Open a film while the block runs.

    Raises:
        PictureError: it cannot be read, has no video, or its frames are too large.
        ConfigError: PyAV is not installed.
    """
    with Path(path).open("rb") as file, _container(file, str(path)) as container:
        yield Film(container, str(path))


@contextmanager
def _container(file: IO[bytes], name: str) -> Iterator[InputContainer]:
    av = _av()
    options = {"format_whitelist": _READ, "protocol_whitelist": "", "max_pixels": str(MAX_FRAME_PIXELS)}
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise PictureError(f"{name}: cannot be read as a film ({one_line(error)}); is it complete?") from None
    with container:
        for stream in container.streams.video:
            with_threads(stream)
        yield container


def with_threads(stream: VideoStream) -> None:
    """Let a decoder use its own threads, within the limit on frames."""
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    stream.thread_type = "SLICE"  # threads by frame would return a broken one's error late


# ---- writing


def codec_for(path: str | os.PathLike[str], codec: str | None) -> str:
    """The codec of a film of this name: the one asked for, or the usual one.

    Raises:
        ConfigError: it is unknown, is not there, or the format does not take it.
    """
    format_ = film_format(path)
    if format_ is None:
        raise ConfigError(f"{path}: is no name of a film; known are {', '.join(FILM_FORMATS)}")
    if codec is None:
        usual = ("vp9", "av1") if format_ == "webm" else ("h264", "mpeg4")
        codec = next((name for name in usual if _CODECS[name].encoder), usual[-1])
    if codec not in _CODECS:
        raise ConfigError(f"--codec: must be one of {', '.join(CODECS)}, not {codec!r}")
    if _CODECS[codec].encoder is None:
        raise ConfigError(f"--codec: the FFmpeg that PyAV brings has no encoder for {codec}")
    if codec not in _supported(format_):
        raise ConfigError(f"--codec: {Path(path).suffix} does not take {codec}; give another name or codec")
    return codec


@cache
def _supported(format_: str) -> frozenset[str]:
    """Codecs that a format of films takes."""
    import io

    av = _av()
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
        self._av = av = _av()
        known = _CODECS[codec]
        self._pixels = known.pixels
        self._time_base = time_base
        self._path = path
        self._size = padded(size, codec)
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
        context.color_primaries, context.color_trc, context.colorspace = _BT709, _BT709, _BT709
        context.color_range = _FULL if known.pixels == "bgr0" else _LIMITED
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
                interpolation=_FLAGS,
                src_color_range=_FULL,
                dst_colorspace=_BT709,
                dst_color_range=_LIMITED,
            )
            frame.color_primaries = frame.color_trc = frame.colorspace = _BT709
            frame.color_range = _LIMITED
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


def padded(size: tuple[int, int], codec: str) -> tuple[int, int]:
    """The size that frames of ``size`` have in a file: colors of most codecs are stored for squares of four pixels."""
    if _CODECS[codec].pixels != "yuv420p":
        return size
    width, height = size
    return width + width % 2, height + height % 2


def join(
    segments: Sequence[Path],
    source: Path,
    file: IO[bytes],
    path: Path,
    *,
    metadata: Mapping[str, str],
    end: float | None = None,
) -> list[str]:
    """Write segments one after the other, without encoding them again, with the sound of the film they were made of.

    Args:
        segments: files that :class:`FilmWriter` wrote, in order.
        source: the film whose sound is copied; encoded again where the format does not take it.
        file: what is written.
        path: its final name, which says the format.
        metadata: of the file.
        end: seconds after which the sound ends too.

    Returns:
        What is to be said of it, each the rest of a sentence.

    Raises:
        PictureError: something cannot be read or written.
    """
    av = _av()
    notes: list[str] = []
    format_ = film_format(path)
    assert format_ is not None
    try:
        with ExitStack() as opened:
            first = opened.enter_context(av.open(str(segments[0])))
            sound = opened.enter_context(_container(opened.enter_context(source.open("rb")), str(source)))
            options = {"movflags": "+faststart"} if format_ in ("mp4", "mov") else {}
            out: OutputContainer = opened.enter_context(av.open(file, "w", format=format_, options=options))
            out.metadata.update(metadata)
            video = out.add_stream_from_template(first.streams.video[0])
            tracks = [_Track(stream, out, format_) for stream in sound.streams.audio]
            notes += [track.note for track in tracks if track.note]
            by_input = {track.source.index: track for track in tracks if track.stream is not None}
            start = Fraction(sound.start_time or 0, 1_000_000)
            heard = _sound(sound, by_input, start, end, notes) if by_input else ()
            for packet in heapq.merge(_seen(segments, video), heard, key=_when):
                out.mux(packet)
            for track in by_input.values():
                for packet in track.rest():
                    out.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        raise PictureError(f"{path}: cannot be written as a film ({one_line(error)})") from None
    return notes


def without_place(metadata: Mapping[str, str]) -> dict[str, str]:
    """A film's metadata without where it was taken."""
    return {key: value for key, value in metadata.items() if not key.lower().startswith(_LOCATION)}


def _when(packet: Packet) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return (time or 0) * (packet.time_base or Fraction(0))


def _seen(segments: Iterable[Path], stream: Stream) -> Iterator[Packet]:
    av = _av()
    for path in segments:
        with av.open(str(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    yield packet


def _sound(
    container: InputContainer,
    tracks: Mapping[int, _Track],
    start: Fraction,
    end: float | None,
    notes: list[str],
) -> Iterator[Packet]:
    av = _av()
    try:
        for packet in container.demux(*(track.source for track in tracks.values())):
            if packet.dts is None or packet.time_base is None:
                continue
            if end is not None and packet.dts * packet.time_base - start >= end:
                return
            yield from tracks[packet.stream.index].packets(packet, start)
    except av.error.FFmpegError:
        notes.append("its sound is damaged, and ends early")


class _Track:
    """A stream of sound on its way to another file.

    Attributes:
        source: where it comes from.
        stream: where it goes; None if nobody can decode it.
        note: what is to be said of it.
    """

    def __init__(self, source: AudioStream, out: OutputContainer, format_: str) -> None:
        self.source = source
        self.note = ""
        self.stream: Stream | None
        self._encoder: AudioStream | None = None
        name = source.codec_context.codec.canonical_name
        if name in _supported(format_):
            self.stream = out.add_stream_from_template(source)
            return
        encoder = "libopus" if format_ == "webm" else "aac"
        rate = 48_000 if encoder == "libopus" else source.rate
        short = encoder.removeprefix("lib")
        self.note = f"its sound ({name}) is encoded again ({short}), as the format does not take it"
        made = out.add_stream(encoder, rate=rate, layout=source.layout.name)
        assert made.type == "audio"
        self.stream = self._encoder = made

    def packets(self, packet: Packet, start: Fraction) -> Iterator[Packet]:
        """What becomes of a packet, in times that begin at 0."""
        assert self.stream is not None
        assert packet.time_base is not None
        shift = round(start / packet.time_base)
        if self._encoder is None:
            if packet.pts is not None:
                packet.pts -= shift
            if packet.dts is not None:
                packet.dts -= shift
            packet.stream = self.stream
            yield packet
            return
        av = _av()
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= shift
            yield from self._encoder.encode(frame)

    def rest(self) -> Iterator[Packet]:
        """What the encoder holds."""
        if self._encoder is not None:
            yield from self._encoder.encode(None)
