"""Finds problems in a set of pictures: broken files, duplicates, padding, and outliers."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan import images
from artgan.data.pictures import PictureSet
from artgan.data.prefetch import prefetch
from artgan.errors import PictureError, printable
from artgan.progress import progress

Level = Literal["problem", "note"]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Look:
    """The properties of one picture.

    Attributes:
        name: its name in the set.
        file_size: in bytes; 0 if unknown.
        error: why it cannot be read; None if it can, and only then the remaining attributes are known.
        format: Pillow's name.
        mode: Pillow's name for the mode stored in the file.
        deep: whether a channel has more than 8 bits.
        transparent: whether there is an alpha channel or a transparent color.
        size: width and height in pixels, upright.
        turned: whether its EXIF orientation rotates or mirrors it.
        file_hash: SHA-256 of the file.
        pixel_hash: BLAKE2b of size and decoded RGB pixels: a fast hash, as it is the main cost apart from decoding.
        likeness: 128 bits, see :func:`likeness`; None for a plain picture.
    """

    name: str
    file_size: int = 0
    error: str | None = None
    format: str = ""
    mode: str = ""
    deep: bool = False
    transparent: bool = False
    size: tuple[int, int] = (0, 0)
    turned: bool = False
    file_hash: bytes = b""
    pixel_hash: bytes = b""
    likeness: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Finding:
    """A problem, or something worth noting.

    Attributes:
        kind: "unreadable", "repeated", "copies", "same-pixels" and "near-copies" are problems; "gray", "cmyk",
            "palette", "transparent", "deep", "other-mode", "turned", "odd-size", "odd-aspect" and "passed-over" (with
            the first few names only) are notes.
        level: whether it makes the set questionable or is only informative.
        text: a description.
        names: the pictures concerned.
        groups: the same names, grouped by what belongs together; empty if nothing does.
    """

    kind: str
    level: Level
    text: str
    names: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...] = ()

    def rows(self) -> list[str]:
        """The names for display: one picture or group per row; large groups are shortened."""
        if not self.groups:
            return list(self.names)
        sign = " ~ " if self.kind == "near-copies" else " = "
        return [sign.join(group[:6]) + (f" and {len(group) - 6:,} more" * (len(group) > 6)) for group in self.groups]


@dataclass(frozen=True)
class Report:
    """All findings about a set.

    Attributes:
        location: the set's location.
        pictures: the number of pictures, readable or not.
        distinct: the number of pictures with distinct pixels; each unreadable one counts as distinct.
        findings: problems first.
    """

    location: str
    pictures: int
    distinct: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no problems; there may be notes."""
        return all(finding.level != "problem" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {**asdict(self), "ok": self.ok}

    def lines(self, most: int = 10) -> Iterator[str]:
        """The report for display, with at most ``most`` pictures or groups per finding."""
        yield printable(f"{self.location}: {_count(range(self.pictures))}, {self.distinct:,} distinct")
        for finding in self.findings:
            yield printable(f"{finding.level} ({finding.kind}): {finding.text}")
            rows = finding.rows()
            yield from (f"    {printable(row)}" for row in rows[:most])
            if len(rows) > most:
                yield f"    and {len(rows) - most:,} more"
        if not self.findings:
            yield "nothing found"


def verify(pictures: PictureSet, *, workers: int | None = None) -> Report:
    """Decode every picture of a set and report problems; broken pictures do not stop the check.

    Args:
        pictures: the set.
        workers: threads; None: as many as there are processors.
    """
    reader = Reader(pictures)
    with progress("verifying", len(pictures)) as advance:
        looks = []
        for found in each(lambda index: reader.inspect(index)[0], len(pictures), workers):
            looks.append(found)
            advance()
    report = judge(pictures.location, looks)
    passed_over = tuple(
        Finding("passed-over", "note", f"{found.count:,} {found.what}", tuple(found.examples))
        for found in pictures.passed_over
    )
    return replace(report, findings=report.findings + passed_over)


def each(function: Callable[[int], T], total: int, workers: int | None = None) -> Iterator[T]:
    """Yield ``function`` of 0, 1 ... ``total - 1`` in order, computed in threads with a limited prefetch."""
    if workers is None:
        affinity = getattr(os, "sched_getaffinity", None)
        workers = len(affinity(0)) if affinity else os.cpu_count() or 1
    return prefetch(function, range(total), threads=workers, count=16 * workers)


class Reader:
    """Reads a set from several threads; the set itself need not be thread-safe."""

    def __init__(self, pictures: PictureSet) -> None:
        self.pictures = pictures
        self._reading = Lock()

    def inspect(self, index: int) -> tuple[Look, Image.Image | None]:
        """A picture's properties, and the picture itself, upright in RGB; None if it cannot be read."""
        name = self.pictures.names[index]
        data = b""
        try:
            with self._reading:
                data = self.pictures.read(index)
            rgb = images.decode_bytes(data, name).rgb
            return _look(name, data, rgb), rgb
        except PictureError as error:
            file_hash = hashlib.sha256(data).digest() if data else b""
            return Look(name, len(data), error=str(error), file_hash=file_hash), None


def _look(name: str, data: bytes, rgb: Image.Image) -> Look:
    with images.open_image(io.BytesIO(data)) as kept:  # its header, which decoding discards
        deep = kept.mode.startswith(("I", "F")) or any(";16" in str(tile[3]) for tile in getattr(kept, "tile", ()))
        deep = deep or kept.info.get("bit_depth", 8) > 8  # HEIC
        try:  # for a PNG file this decodes the pixels, after which the tiles are gone
            turned = kept.getexif().get(0x0112, 1) in range(2, 9)
        except Exception:  # broken EXIF data raise almost anything, and have no effect
            turned = False
        return Look(
            name,
            len(data),
            format=kept.format or "",
            mode=kept.mode,
            deep=deep,
            transparent=kept.has_transparency_data,
            size=rgb.size,
            turned=turned,
            file_hash=hashlib.sha256(data).digest(),
            pixel_hash=hashlib.blake2b(rgb.tobytes(), digest_size=32, person=b"%d %d" % rgb.size).digest(),
            likeness=likeness(rgb),
        )


# ---- likeness

_SIDE = 32
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(1, 9), np.arange(_SIDE) + 0.5))
LIKE = 16
"""Near copies differ in at most this many of the 128 bits. Measured on photographs and on paintings by Monet, van
Gogh and Bob Ross: saving at quality 30, halving the size, brightening by a tenth or cropping 2 pixels in 256 changes
at most 13 bits. Different photographs of one painting, and the most similar paintings of a series, differ in at most
16; two photographs of landscapes differ in at least 23."""
_PLAIN = 2.0


def likeness(rgb: Image.Image) -> NDArray[np.bool_] | None:
    """A perceptual hash of 128 bits, robust to compression, scaling and brightness.

    Half of the bits are a pHash (the 64 lowest frequencies of the cosine transform, without the constant ones, compared
    with their median: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010), half a dHash
    (which of two neighbors is brighter: Krawetz, "Kind of Like That", 2013). Mirrored, rotated and heavily cropped
    pictures do not match.

    Returns:
        128 booleans; None for a plain picture, whose bits would depend only on noise.
    """
    gray = rgb.convert("L")
    pixels = np.asarray(gray.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)
    if pixels.std() < _PLAIN:
        return None
    frequencies = (_COSINES @ pixels @ _COSINES.T).ravel()
    small = np.asarray(gray.resize((9, 8), Image.Resampling.BOX))
    return np.concatenate([frequencies > np.median(frequencies), (small[:, 1:] > small[:, :-1]).ravel()])


def near(bits: NDArray[np.bool_], distance: int = LIKE) -> NDArray[np.intp]:
    """Group rows that are connected by steps of at most ``distance`` differing bits.

    All pairwise distances are computed by matrix products, a block of rows at a time: memory grows with N, not N^2.

    Args:
        bits: N x B.
        distance: in bits.

    Returns:
        For each row, the index of the first row in its group.
    """
    count, width = bits.shape
    signs = np.where(bits, np.float32(1), np.float32(-1))
    first = np.arange(count)
    rows = max(1, 2**22 // max(count, 1))
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        products = signs[start:stop] @ signs[:stop].T  # B - 2 x distance
        a, b = np.nonzero(products >= width - 2 * distance)
        a += start
        _join(first, a[b < a], b[b < a])
    return first


def _join(first: NDArray[np.intp], a: NDArray[np.intp], b: NDArray[np.intp]) -> None:
    """Merge the groups of each ``a`` and ``b``: attach roots to the lower one, then compress the paths."""
    while (first[a] != first[b]).any():
        low = np.minimum(first[a], first[b])
        np.minimum.at(first, first[a], low)
        np.minimum.at(first, first[b], low)
        while (first[first] != first).any():
            first[:] = first[first]


# ---- findings


def judge(location: str, looks: Sequence[Look]) -> Report:
    """Derive the findings about a set from the properties of its pictures, in order."""
    problems: list[Finding] = []
    broken = [look for look in looks if look.error is not None]
    good = [look for look in looks if look.error is None]
    if broken:
        reasons = "; ".join(str(look.error) for look in broken[:3]) + ("; ..." if len(broken) > 3 else "")
        problems.append(_problem("unreadable", f"{_count(broken)} cannot be read: {reasons}", broken))
    identities = [look.pixel_hash or look.file_hash or look.name.encode("utf-8", "surrogateescape") for look in looks]
    problems += _copies(looks, identities)
    distinct: dict[bytes, Look] = {}
    for look in good:
        distinct.setdefault(look.pixel_hash, look)
    problems += _near_copies(list(distinct.values()))
    findings = (*problems, *_modes(good), *_odd_sizes(good))
    return Report(location, len(looks), len(set(identities)), findings)


def _count(looks: Sequence[Any]) -> str:
    return "1 picture" if len(looks) == 1 else f"{len(looks):,} pictures"


def _names(looks: Sequence[Look]) -> tuple[str, ...]:
    return tuple(look.name for look in looks)


def _problem(kind: str, text: str, looks: Sequence[Look]) -> Finding:
    return Finding(kind, "problem", text, _names(looks))


def _note(kind: str, text: str, looks: Sequence[Look]) -> Finding:
    return Finding(kind, "note", text, _names(looks))


def _grouped(kind: str, text: str, groups: Sequence[Sequence[Look]]) -> Finding:
    names = tuple(_names(group) for group in groups)
    return Finding(kind, "problem", text, tuple(name for group in names for name in group), names)


def _group(looks: Sequence[Look], keys: Sequence[Any]) -> list[list[Look]]:
    """The pictures that share a key with another one, grouped by key."""
    by_key: dict[Any, list[Look]] = {}
    for look, key in zip(looks, keys, strict=True):
        by_key.setdefault(key, []).append(look)
    return [group for group in by_key.values() if len(group) > 1]


def _copies(looks: Sequence[Look], identities: Sequence[bytes]) -> list[Finding]:
    count, distinct = len(looks), len(set(identities))
    alike = _group(looks, identities)
    repeated = f"{count:,} pictures, {distinct:,} distinct"
    period = _period(identities)
    if period:
        return [_grouped("repeated", f"{repeated}: they repeat in order with period {period:,}", alike)]
    if count - distinct >= max(10, count // 10):  # more than an oversight
        most = max(map(len, alike))
        text = f"{repeated}: repeated up to {most} times, not in order, as if drawn with repetition"
        return [_grouped("repeated", text, alike)]
    findings = []
    same_file = _group([look for look in looks if look.file_hash], [look.file_hash for look in looks if look.file_hash])
    if same_file:
        spare = sum(map(len, same_file)) - len(same_file)
        text = f"{_count(range(spare))} too many: the same file, byte for byte, under another name"
        findings.append(_grouped("copies", text, same_file))
    same_pixels = [group for group in alike if len({look.file_hash for look in group}) > 1]
    if same_pixels:
        spare = sum(len({look.file_hash for look in group}) for group in same_pixels) - len(same_pixels)
        text = f"{_count(range(spare))} too many: other files, but the same pixels"
        findings.append(_grouped("same-pixels", text, same_pixels))
    return findings


def _period(identities: Sequence[bytes]) -> int | None:
    """The smallest P such that item i equals item i + P for all i; None if there is none, or too little data."""
    numbers = {identity: number for number, identity in enumerate(dict.fromkeys(identities))}
    items = np.array([numbers[identity] for identity in identities])
    for start in np.flatnonzero(items[1:] == items[:1]) + 1:
        if len(items) - start > 1 and np.array_equal(items[start:], items[:-start]):
            return int(start)
    return None


def _near_copies(looks: Sequence[Look]) -> list[Finding]:
    looks = [look for look in looks if look.likeness is not None]
    if not looks:
        return []
    groups = _group(looks, near(np.array([look.likeness for look in looks])).tolist())
    if not groups:
        return []
    spare = sum(map(len, groups)) - len(groups)
    text = f"{_count(range(spare))} may be too many: much like another one (saved again, scaled or photographed anew)"
    return [_grouped("near-copies", text, groups)]


def _modes(looks: Sequence[Look]) -> list[Finding]:
    """Notes about pictures that are not stored as upright 8-bit RGB."""
    by_kind: dict[str, list[Look]] = {kind: [] for kind in _MODES}
    for look in looks:
        if look.deep:
            by_kind["deep"].append(look)
        if look.transparent:
            by_kind["transparent"].append(look)
        elif look.mode != "RGB" and not look.deep:
            by_kind[_KIND_OF_MODE.get(look.mode, "other-mode")].append(look)
        if look.turned:
            by_kind["turned"].append(look)
    return [_note(kind, f"{_count(found)} {_MODES[kind]}", found) for kind, found in by_kind.items() if found]


_KIND_OF_MODE = {"1": "gray", "L": "gray", "CMYK": "cmyk", "P": "palette"}
_MODES = {
    "gray": "kept as gray",
    "cmyk": "kept as CMYK",
    "palette": "kept with a palette",
    "transparent": "with an alpha channel or a transparent color",
    "deep": "with more than 8 bits a channel",
    "other-mode": "kept in another mode than RGB",
    "turned": "turned by EXIF data, which other programs may pass over",
}


def _are(looks: Sequence[Look]) -> str:
    return "is" if len(looks) == 1 else "are"


def _have(looks: Sequence[Look]) -> str:
    return "has" if len(looks) == 1 else "have"


def _odd_sizes(looks: Sequence[Look]) -> list[Finding]:
    """Outliers relative to the most common size if most pictures have it, else to the medians of side and aspect."""
    if not looks:
        return []
    findings = []
    (width, height), usual = Counter(look.size for look in looks).most_common(1)[0]
    sides = np.array([look.size for look in looks])
    short = sides.min(axis=1)
    if 2 * usual > len(looks):
        odd = (sides != (width, height)).any(axis=1)
        expected = f"{width} x {height} pixels"
    else:
        middle = float(np.median(short))
        odd = (short < middle / 2) | (short > middle * 2)
        expected = f"about {middle:.0f} pixels on the short side"
    found = [look for look, is_odd in zip(looks, odd, strict=True) if is_odd]
    if found:
        least, largest = (pick(found, key=lambda look: look.size[0] * look.size[1]) for pick in (min, max))
        text = f"{_count(found)} {_are(found)} not of the usual size, {expected}: the smallest {_size(least)}"
        findings.append(_note("odd-size", text + (f", the largest {_size(largest)}" if len(found) > 1 else ""), found))
    aspect = np.log(sides[:, 0] / sides[:, 1])
    stretched = np.abs(aspect - np.median(aspect)) > np.log(2)
    found = [look for look, is_odd in zip(looks, stretched, strict=True) if is_odd]
    if found:
        text = (
            f"{_count(found)} {_have(found)} over twice or under half the usual ratio of width to height, "
            f"{np.exp(np.median(aspect)):.2f}"
        )
        findings.append(_note("odd-aspect", text, found))
    return findings


def _size(look: Look) -> str:
    return f"{look.size[0]} x {look.size[1]} ({look.name})"
