"""Films, read and written frame by frame; PyAV, which brings FFmpeg's libraries, is imported when one is met.

Frames come upright, in square pixels and in sRGB, as pictures do. They keep their timestamps, so that a variable frame
rate stays what it is. Sound is copied, packet by packet, from file to file.
"""

from artgan.images.films.joining import join, kept_metadata
from artgan.images.films.reading import Film, Frame, open_film
from artgan.images.films.writing import CODECS, QUALITY, FilmWriter, codec_for, encode_film, known_codec, padded

__all__ = [
    "CODECS",
    "QUALITY",
    "Film",
    "FilmWriter",
    "Frame",
    "codec_for",
    "encode_film",
    "join",
    "kept_metadata",
    "known_codec",
    "open_film",
    "padded",
]
