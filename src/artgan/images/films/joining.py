"""Segments of a film put together, with the sound of the film that they were made of."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from artgan.errors import PictureError, one_line
from artgan.images.films.ffmpeg import open_container, pyav
from artgan.images.films.writing import supported
from artgan.images.formats import film_format

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_LOCATION = ("location", "com.apple.quicktime.location")  # what keys of a place begin with
_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


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
    av = pyav()
    notes: list[str] = []
    format_ = film_format(path)
    assert format_ is not None
    try:
        with ExitStack() as opened:
            first = opened.enter_context(av.open(str(segments[0])))
            sound = opened.enter_context(open_container(opened.enter_context(source.open("rb")), str(source)))
            options = {"movflags": "+faststart"} if format_ in ("mp4", "mov") else {}
            out: OutputContainer = opened.enter_context(av.open(file, "w", format=format_, options=options))
            out.metadata.update(metadata)
            video = out.add_stream_from_template(first.streams.video[0], opaque=True)
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


def kept_metadata(known: Mapping[str, str], *, location: bool) -> dict[str, str]:
    """Of a film's metadata, what its painting may have: nothing of the file itself, and the place if asked for."""
    dropped = _OF_THE_FILE if location else (*_OF_THE_FILE, *_LOCATION)
    return {key: value for key, value in known.items() if not key.lower().startswith(dropped)}


def _when(packet: Packet[Any]) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return (time or 0) * (packet.time_base or Fraction(0))


def _seen(segments: Iterable[Path], stream: Stream) -> Iterator[Packet[Any]]:
    av = pyav()
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
) -> Iterator[Packet[Any]]:
    av = pyav()
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
        if name in supported(format_):
            self.stream = out.add_stream_from_template(source, opaque=True)
            self._name(source)
            return
        encoder = "libopus" if format_ == "webm" else "aac"
        rate = 48_000 if encoder == "libopus" else source.rate
        short = encoder.removeprefix("lib")
        self.note = f"its sound ({name}) is encoded again ({short}), as the format does not take it"
        self.stream = self._encoder = cast("AudioStream", out.add_stream(encoder, rate=rate, layout=source.layout.name))
        self._name(source)

    def _name(self, source: AudioStream) -> None:
        assert self.stream is not None
        known = {key: source.metadata[key] for key in ("language", "title") if source.metadata.get(key)}
        self.stream.metadata.update(known)

    def packets(self, packet: Packet[Any], start: Fraction) -> Iterator[Packet[Any]]:
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
        av = pyav()
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= shift
            yield from self._encoder.encode(cast("AudioFrame", frame))

    def rest(self) -> Iterator[Packet[Any]]:
        """What the encoder holds."""
        if self._encoder is not None:
            yield from self._encoder.encode(None)
