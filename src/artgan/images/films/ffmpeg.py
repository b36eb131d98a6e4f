"""What reading and writing films share of PyAV: its import, untrusted files opened, numbers of libswscale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import IO, TYPE_CHECKING

from artgan.errors import ConfigError, PictureError, one_line

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_FRAME_PIXELS = 40_000_000
"""The largest frame that is decoded, in pixels: 8K is 33 megapixels, and decoders hold up to 16 frames."""

FLAGS = 4 | 0x2000 | 0x40000  # of libswscale: bicubic, all chroma interpolated, accurate rounding
BT709, BT601 = 1, 5
"""Matrices, as libswscale counts them; the first also primaries and transfer in H.273."""
LIMITED, FULL = 1, 2
"""Ranges, as libswscale counts them."""

# Formats that hold one film in one file. Others are refused: a playlist would make FFmpeg open what it names.
_READ = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,m4v"


def pyav() -> ModuleType:
    """PyAV.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import av
        import av.error
    except ImportError:
        raise ConfigError('films need PyAV: pip install "artgan[video]"') from None
    av.logging.set_level(None)  # what matters comes as an exception
    return av


@contextmanager
def open_container(file: IO[bytes], name: str) -> Iterator[InputContainer]:
    """A film's file, as untrusted input: it opens no other, and its frames are limited, while the block runs.

    Raises:
        PictureError: it is no film, or is damaged.
        ConfigError: PyAV is not installed.
    """
    av = pyav()
    options = {"format_whitelist": _READ, "protocol_whitelist": "", "max_pixels": str(MAX_FRAME_PIXELS)}
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise PictureError(f"{name}: cannot be read as a film ({one_line(error)}); is it complete?") from None
    with container:
        for stream in container.streams.video:
            stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
            stream.thread_type = "SLICE"  # threads by frame would tell of a broken frame late
        yield container
