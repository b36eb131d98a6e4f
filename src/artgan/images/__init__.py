"""Reading and writing pictures: the one package that deals with Pillow's pitfalls.

:func:`decode` turns a file, a Pillow image, an array or a tensor into a :class:`Picture`: upright 8-bit RGB, with
transparency and color profile kept separately. :func:`assemble` puts them back, :func:`encode` writes a file.
Torch is imported only when a tensor is needed.
"""

from artgan.images.animation import Animation, count_frames, encode_animation, encode_frames, open_animation
from artgan.images.arrays import to_floats, to_image, to_levels, to_rgb, to_tensor
from artgan.images.formats import (
    READABLE,
    SNIFFED,
    VIDEO,
    WRITABLE,
    Foreign,
    Format,
    film_format,
    films_available,
    first_bytes,
    foreign_by_suffix,
    format_for_writing,
    format_of_suffix,
    holds_frames,
    holds_pages,
    is_film,
    is_picture,
    is_writable,
    recognize,
)
from artgan.images.jpeg import jpeg_quality
from artgan.images.metadata import Metadata, read_metadata
from artgan.images.picture import MAX_PIXELS, Picture
from artgan.images.reading import UPRIGHT, Source, decode, decode_bytes, measure, missing, open_image, open_picture
from artgan.images.writing import assemble, check_writable, encode

__all__ = [
    "MAX_PIXELS",
    "READABLE",
    "SNIFFED",
    "UPRIGHT",
    "VIDEO",
    "WRITABLE",
    "Animation",
    "Foreign",
    "Format",
    "Metadata",
    "Picture",
    "Source",
    "assemble",
    "check_writable",
    "count_frames",
    "decode",
    "decode_bytes",
    "encode",
    "encode_animation",
    "encode_frames",
    "film_format",
    "films_available",
    "first_bytes",
    "foreign_by_suffix",
    "format_for_writing",
    "format_of_suffix",
    "holds_frames",
    "holds_pages",
    "is_film",
    "is_picture",
    "is_writable",
    "jpeg_quality",
    "measure",
    "missing",
    "open_animation",
    "open_image",
    "open_picture",
    "read_metadata",
    "recognize",
    "to_floats",
    "to_image",
    "to_levels",
    "to_rgb",
    "to_tensor",
]
