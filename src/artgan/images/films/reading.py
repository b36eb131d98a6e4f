"""Films read frame by frame."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from artgan.errors import PictureError
from artgan.images.coding import from_codes, to_srgb
from artgan.images.films.ffmpeg import BT601, BT709, FLAGS, FULL, LIMITED, MAX_FRAME_PIXELS, open_container, pyav
from artgan.images.picture import check_size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # libswscale's, by H.273's number
_UNSPECIFIED = 2
_HD = 720  # rows from which on a film that does not say is BT.709
_COVER = 0x400  # disposition of a picture that is no film


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
        videos = [stream for stream in container.streams.video if not stream.disposition & _COVER]
        if not videos:
            raise PictureError(f"{name}: has no video; is it a sound file?")
        self._container = container
        self._name = name
        self._video = video = videos[0]
        context = video.codec_context
        width, height = context.width, context.height
        if width < 1 or height < 1:  # FFmpeg says so too where they are over the limit that it is given
            raise PictureError(
                f"{name}: its frames have no size, or more than {MAX_FRAME_PIXELS / 1e6:g} megapixels; is it damaged?"
            )
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

    def frames(self) -> Generator[Frame, None, None]:
        """Decode the frames, in order; what cannot be decoded is counted and left out.

        Raises:
            PictureError: there are none, or one is too large.
        """
        av = pyav()
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
        end = float(last * self.time_base)
        known = self._video.duration or not self._container.streams.audio  # else the seconds may be those of the sound
        if self.seconds and known and end < self.seconds - max(1.0, 2 / float(self.rate)):
            self.notes.append(f"it ends after {end:.1f} of the {self.seconds:.1f} s that its header says")
        if self.broken:
            parts, are = ("part", "is") if self.broken == 1 else ("parts", "are")
            self.notes.append(f"{self.broken:,} damaged {parts} of it could not be decoded and {are} left out")

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
            self.notes.append("its high dynamic range is converted to sRGB")
        if any(component.is_alpha for component in frame.format.components):
            self.notes.append("its transparency is left out")

    def _upright(self, frame: VideoFrame) -> Image.Image:
        unspecified = BT709 if frame.height >= _HD else BT601
        how: dict[str, Any] = {"interpolation": FLAGS, "width": self._square[0], "height": self._square[1]}
        if not frame.format.is_rgb:
            how["src_colorspace"] = _MATRICES.get(frame.colorspace, unspecified)
            full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
            how |= {"src_color_range": FULL if full else LIMITED, "dst_color_range": FULL}
        primaries = frame.color_primaries if frame.color_primaries != _UNSPECIFIED else 1
        coding = from_codes(primaries, frame.color_trc)
        if coding is None:
            image = Image.fromarray(frame.reformat(format="rgb24", **how).to_ndarray())
        else:
            deep = np.asarray(frame.reformat(format="rgb48le", **how).to_ndarray(), np.uint16)
            image = to_srgb(deep, coding)
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
    with Path(path).open("rb") as file, open_container(file, str(path)) as container:
        yield Film(container, str(path))
