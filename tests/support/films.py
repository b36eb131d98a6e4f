"""Small films, written and read by PyAV without artgan."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def write(
    path: Path,
    frames: Sequence[Pixels],
    *,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str | None = None,
    aspect: Fraction | None = None,
    metadata: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write frames (H x W x 3, 8-bit RGB; BT.601, not tagged), and a tone if a codec of sound is named."""
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        video = out.add_stream(codec, rate=Fraction(25), options={"crf": "10", "bf": "0"} | options)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pixels
        video.codec_context.time_base = video.time_base = time_base
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        tone = None
        if sound:
            tone = out.add_stream(sound, rate=48_000, layout="mono")
        for number, pixels_ in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels_), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = (times or range(len(frames)))[number], time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if tone is not None:
            count = int(48_000 * len(frames) / 25)
            wave = (np.sin(np.arange(count) / 20) * 8000).astype(np.int16)
            resampler = av.AudioResampler(tone.format, "mono", 48_000)
            for start in range(0, count, 960):
                part = av.AudioFrame.from_ndarray(wave[None, start : start + 960], format="s16", layout="mono")
                part.sample_rate, part.pts, part.time_base = 48_000, start, Fraction(1, 48_000)
                for each in resampler.resample(part):
                    out.mux(tone.encode(each))
            out.mux(tone.encode(None))
    return path


class Read(NamedTuple):
    """A film as PyAV reads it."""

    frames: list[Pixels]
    times: list[Fraction]
    stream: Any
    sound: list[bytes]
    metadata: dict[str, str]


def read(path: Path) -> Read:
    """Decode a film; frames as BT.709, limited range; the packets of its sound as they are."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames, times = [], []
        for frame in container.decode(video):
            flags = 4 | 0x2000 | 0x40000
            how: dict[str, Any] = {} if frame.format.is_rgb else {"src_colorspace": 1, "src_color_range": 1}
            frames.append(frame.reformat(format="rgb24", interpolation=flags, **how).to_ndarray())
            times.append(frame.pts * frame.time_base)
        context = video.codec_context
        known = {
            "codec": context.codec.canonical_name,
            "tags": (context.colorspace, context.color_primaries, context.color_trc, context.color_range),
            "aspect": context.sample_aspect_ratio,
        }
    with av.open(str(path)) as container:
        sound = [bytes(packet) for packet in container.demux(audio=0) if packet.size] if container.streams.audio else []
        return Read(frames, times, known, sound, dict(container.metadata))


def turned(path: Path, degrees: int) -> Path:
    """Say in an MP4 file that it is to be shown turned clockwise by 90, 180 or 270 degrees."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    one = 0x10000
    data[place : place + 36] = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
    return path


def pattern(number: int = 0, size: tuple[int, int] = (64, 48)) -> Pixels:
    """Smooth colors that move to the right with the number, and differ from left to right and top to bottom."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    channels = [127 + 100 * np.sin((x - 2 * number) / 9), 255 * y / size[1], 127 + 90 * np.cos((x + y) / 15)]
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)
