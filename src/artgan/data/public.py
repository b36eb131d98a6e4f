"""Public data sets that can be downloaded by name."""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from artgan.errors import PictureError, did_you_mean, one_line
from artgan.files import replace_durably, sha256
from artgan.progress import progress

MIRROR = "ARTGAN_DATA_MIRROR"
"""The environment variable for another base URL to download from; file names stay the same."""


@dataclass(frozen=True)
class PublicSet:
    """A file that contains a public data set.

    Attributes:
        name: its name in artgan.
        url: its address.
        summary: a one-line description.
        license: what is known about its license.
        sha256: of the file, in hexadecimal; None if its authors publish none.
        max_bytes: a larger file is rejected.
    """

    name: str
    url: str
    summary: str
    license: str
    sha256: str | None = None
    max_bytes: int = 1 << 30

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]


def _cyclegan(name: str, painter: str) -> PublicSet:
    return PublicSet(
        name,
        f"http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{name}.zip",
        f"the CycleGAN authors' photos of landscapes (trainB, testB) and {painter} (trainA, testA)",
        "none stated: photos from Flickr, paintings from WikiArt; rights stay with their holders",
    )


PUBLIC: Mapping[str, PublicSet] = MappingProxyType(
    {
        row.name: row
        for row in (
            _cyclegan("monet2photo", "paintings by Monet"),
            _cyclegan("vangogh2photo", "paintings by Van Gogh"),
            _cyclegan("cezanne2photo", "paintings by Cezanne"),
            _cyclegan("ukiyoe2photo", "ukiyo-e prints"),
        )
    }
)
"""The sets by name."""

_MB = 1_000_000
_TIMEOUT = 30  # seconds without data
_TRIES = 4  # consecutive attempts without progress
_PAUSE = 1.0  # seconds before a retry, doubled for each further one


class _Cut(Exception):
    """The transfer was interrupted, or the server had an error: worth a retry."""


def fetch(name: str, folder: str | Path) -> Path:
    """Download a public data set, or resume an interrupted download.

    The file is not unpacked: artgan reads archives in place. An existing file is not downloaded again.

    Args:
        name: a key of :data:`PUBLIC`.
        folder: where to put the file; created if necessary.

    Returns:
        The file. It appears complete or not at all; until then, the data is in a hidden partial file next to it.

    Raises:
        PictureError: no such data set, no connection, rejected by the server, too large, damaged, or the disk is full.
    """
    if name not in PUBLIC:
        hint = did_you_mean(name, PUBLIC, show=str) or f"there are {', '.join(PUBLIC)}"
        raise PictureError(f"{name}: no such public set; {hint}")
    entry = PUBLIC[name]
    mirror = os.environ.get(MIRROR)
    url = f"{mirror.rstrip('/')}/{entry.file}" if mirror else entry.url
    if not re.match("https?://", url):
        raise PictureError(f"{MIRROR}: must begin with http:// or https://, not {mirror!r}")
    target = Path(folder) / entry.file
    partial = target.with_name(f".{entry.file}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _download(entry, url, partial)
            _verify(entry, url, partial)
            replace_durably(partial, target)
            _validator(partial).unlink(missing_ok=True)
    except OSError as error:  # network errors are handled earlier
        raise PictureError(f"{target}: cannot be written ({error.strerror or error})") from None
    return target


def _verify(entry: PublicSet, url: str, path: Path) -> None:
    """Remove the downloaded file and raise, unless it is the right one."""
    problem = None
    if entry.sha256 is not None and (found := sha256(path)) != entry.sha256:
        problem = f"its SHA-256 is {found}, not {entry.sha256}"
    elif not zipfile.is_zipfile(path):
        problem = "it is not a zip archive"
    if problem:
        _forget(path)
        raise PictureError(f"{url}: the downloaded file is not {entry.name}: {problem}")


def _validator(path: Path) -> Path:
    """The file that stores the ETag or date of the remote file that ``path`` is a part of."""
    return path.with_name(path.name + ".etag")


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    _validator(path).unlink(missing_ok=True)


def _download(entry: PublicSet, url: str, path: Path) -> None:
    """Complete ``path``, with as many requests as necessary, as long as they make progress."""
    failed = 0
    while True:
        before = _size(path)
        try:
            _request(entry, url, path)
            return
        except _Cut as cut:
            failed = 0 if _size(path) > before else failed + 1
            if failed >= _TRIES:
                got = f"; {_size(path) / _MB:,.1f} MB received so far: run it again to resume" if _size(path) else ""
                raise PictureError(f"{url}: cannot be fetched ({cut}){got}") from None
        time.sleep(_PAUSE * 2 ** max(0, failed - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _request(entry: PublicSet, url: str, path: Path) -> None:
    """Request the missing part; raises :class:`_Cut` if it did not arrive completely."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "artgan"}
    note = _validator(path)
    start = _size(path) if note.exists() else 0
    if start:  # If-Range: the server sends the whole file if it has changed
        headers |= {"Range": f"bytes={start}-", "If-Range": note.read_text("latin-1")}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the partial file is at least as long as the remote file: start again
            _forget(path)
        if error.code in (408, 416, 429) or error.code >= 500:
            raise _Cut(f"status {error.code}") from None
        raise PictureError(f"{url}: the server refused the request (status {error.code}: {error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(_reason(error)) from None
    except ValueError:
        raise PictureError(f"{url}: not an address") from None
    with response:
        if response.status != 206:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _forget(path)
            raise _Cut("the server sent a different range than requested")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        _check_size(entry, url, total or 0, path)
        with (
            path.open("r+b" if start else "wb") as file,
            progress(f"{entry.name} (MB)", (total or entry.max_bytes) // _MB, done=start // _MB) as advance,
        ):
            if start:
                file.seek(start)
            else:  # only once the file is empty: it may have held a part of another version
                _note_validator(response, note)
            _copy(response, file, advance, lambda size: _check_size(entry, url, size, path))
        if total is not None and _size(path) != total:
            raise _Cut(f"interrupted at {_size(path) / _MB:,.1f} of {total / _MB:,.1f} MB")


def _note_validator(response: Any, note: Path) -> None:
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator:
        note.write_text(validator, "latin-1")
    else:  # without it, there is no way to know whether the rest belongs to the same version
        note.unlink(missing_ok=True)


def _copy(response: Any, file: Any, advance: Callable[[], None], check: Callable[[int], None]) -> None:
    while True:
        try:
            piece = response.read(1 << 16)
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(_reason(error)) from None
        if not piece:
            return
        before = file.tell()
        check(before + len(piece))
        file.write(piece)
        for _ in range(file.tell() // _MB - before // _MB):
            advance()


def _check_size(entry: PublicSet, url: str, size: int, path: Path) -> None:
    if size > entry.max_bytes:
        _forget(path)
        raise PictureError(
            f"{url}: has more than the {entry.max_bytes / _MB:,.0f} MB that {entry.name} may have: another file"
        )


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    return one_line(inner if isinstance(inner, Exception) else error)
