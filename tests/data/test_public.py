"""Downloads of public sets, from a real server on this machine that cuts, refuses and lies."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from artgan.cli.app import app
from artgan.data import open_pictures, public
from artgan.errors import PictureError


def make_zip() -> bytes:
    """About 3 MB: a picture of noise and some ballast."""
    file, picture = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)).save(picture, "PNG")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("trainA/1.png", picture.getvalue())
    return file.getvalue()


ZIP = make_zip()


class Server(BaseHTTPRequestHandler):
    """Serves one file as ``how`` tells, and notes the requests."""

    how: SimpleNamespace

    def do_GET(self) -> None:
        how = self.how
        asked = self.headers.get("Range")
        how.requests.append((self.path, asked))
        status = how.statuses.pop(0) if how.statuses else 200
        if status != 200:
            self.send_error(status)
            return
        start = 0
        if asked and how.ranges and self.headers.get("If-Range") == how.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(how.data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start + how.shift}-{len(how.data) - 1}/{len(how.data)}")
        else:
            self.send_response(200)
        if how.length:
            self.send_header("Content-Length", str(len(how.data) - start))
        if how.etag:
            self.send_header("ETag", how.etag)
        self.end_headers()
        end = start + how.cuts.pop(0) if how.cuts else len(how.data)
        with suppress(ConnectionError):  # the client has had enough
            self.wfile.write(how.data[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    how = SimpleNamespace(data=ZIP, etag='"1"', ranges=True, length=True, shift=0, statuses=[], cuts=[], requests=[])
    handler = type("Handler", (Server,), {"how": how})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv(public.MIRROR, f"http://127.0.0.1:{running.server_port}/sets/")
    monkeypatch.setattr(public, "_PAUSE", 0.0)
    yield how
    running.shutdown()
    running.server_close()
    thread.join()


def change(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    monkeypatch.setattr(public, "PUBLIC", {"monet2photo": replace(public.PUBLIC["monet2photo"], **values)})


def refusal(folder: Path, name: str = "monet2photo") -> str:
    with pytest.raises(PictureError) as caught:
        public.fetch(name, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "monet2photo.zip").exists()
    return str(caught.value)


def test_a_set_is_fetched_and_read_in_place(server: SimpleNamespace, tmp_path: Path) -> None:
    path = public.fetch("monet2photo", tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "monet2photo.zip"
    assert path.read_bytes() == ZIP
    assert list(path.parent.iterdir()) == [path]
    assert server.requests == [("/sets/monet2photo.zip", None)]
    assert open_pictures(f"{path}:trainA")[0].size == (1000, 1000)
    public.fetch("monet2photo", path.parent)
    assert len(server.requests) == 1  # what is there is not fetched again


def test_a_cut_is_resumed_where_it_was(server: SimpleNamespace, tmp_path: Path) -> None:
    server.cuts = [1_000_000, 700_000]
    assert public.fetch("monet2photo", tmp_path).read_bytes() == ZIP
    assert [asked for _, asked in server.requests] == [None, "bytes=1000000-", "bytes=1700000-"]


def test_a_later_run_goes_on(server: SimpleNamespace, tmp_path: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0]
    assert "interrupted at 1.0 of" in (message := refusal(tmp_path))
    assert "1.0 MB received so far: run it again to resume" in message
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    server.requests.clear()
    assert public.fetch("monet2photo", tmp_path).read_bytes() == ZIP
    assert [asked for _, asked in server.requests] == ["bytes=1000000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["monet2photo.zip"]


def test_another_file_is_not_added_to_what_has_come(server: SimpleNamespace, tmp_path: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0]
    refusal(tmp_path)
    server.etag, server.data = '"2"', ZIP[:22] + ZIP[22:]
    assert public.fetch("monet2photo", tmp_path).read_bytes() == ZIP
    assert server.requests[-1][1] == "bytes=1000000-"


@pytest.mark.parametrize("odd", [{"etag": ""}, {"etag": 'W/"1"'}, {"ranges": False}, {"shift": 5}])
def test_servers_that_cannot_resume(odd: dict[str, Any], server: SimpleNamespace, tmp_path: Path) -> None:
    vars(server).update(odd)
    server.cuts = [1_000_000]
    assert public.fetch("monet2photo", tmp_path).read_bytes() == ZIP


def test_too_much_is_there_already(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / ".monet2photo.zip.part").write_bytes(bytes(len(ZIP) + 5))
    (tmp_path / ".monet2photo.zip.part.etag").write_text('"1"')
    assert public.fetch("monet2photo", tmp_path).read_bytes() == ZIP


def test_a_server_out_of_order_is_asked_again(server: SimpleNamespace, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    assert public.fetch("monet2photo", tmp_path).read_bytes() == ZIP
    (tmp_path / "monet2photo.zip").unlink()
    server.statuses = [500] * 9
    assert "cannot be fetched (status 500)" in refusal(tmp_path)


def test_refusals_are_final(server: SimpleNamespace, tmp_path: Path) -> None:
    for status in (404, 403):
        server.statuses, server.requests = [status], []
        assert f"the server refused the request (status {status}" in refusal(tmp_path)
        assert len(server.requests) == 1
    assert not list(tmp_path.iterdir())


def test_no_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(public, "_PAUSE", 0.0)
    monkeypatch.setenv(public.MIRROR, "http://127.0.0.1:9")
    assert "cannot be fetched (Connection refused)" in refusal(tmp_path)
    monkeypatch.setenv(public.MIRROR, "file:///etc")
    assert "ARTGAN_DATA_MIRROR: must begin with http" in refusal(tmp_path)
    monkeypatch.setenv(public.MIRROR, "http://[")
    assert "http://[/monet2photo.zip: " in refusal(tmp_path)


@pytest.mark.parametrize("length", [True, False])
def test_larger_files_are_refused(
    length: bool, server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, max_bytes=2_000_000)
    server.length = length
    assert "has more than the 2 MB that monet2photo may have" in refusal(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_comes_is_verified(server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.data = b"<html>Log in to this network</html>"
    assert "it is not a zip archive" in refusal(tmp_path)
    server.data = ZIP
    change(monkeypatch, sha256="0" * 64)
    assert f"its SHA-256 is {hashlib.sha256(ZIP).hexdigest()}, not 0000" in refusal(tmp_path)
    assert not list(tmp_path.iterdir())
    change(monkeypatch, sha256=hashlib.sha256(ZIP).hexdigest())
    assert public.fetch("monet2photo", tmp_path).exists()


def test_a_full_disk(server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = public._copy

    def full(response: Any, file: Any, *rest: Any) -> None:
        def write(_: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        copy(response, SimpleNamespace(write=write, tell=file.tell), *rest)

    monkeypatch.setattr(public, "_copy", full)
    assert "monet2photo.zip: cannot be written (No space left on device)" in refusal(tmp_path)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(PictureError, match="cannot be written"):
        public.fetch("monet2photo", tmp_path / "x")


def test_unknown_names(tmp_path: Path) -> None:
    assert "did you mean monet2photo?" in refusal(tmp_path, "monet2foto")
    assert "there are monet2photo, " in refusal(tmp_path, "qqqq")


def test_the_sets_are_well_described() -> None:
    for name, entry in public.PUBLIC.items():
        assert entry.name == name
        assert entry.url.startswith(("http://", "https://"))
        assert entry.file.endswith(".zip")
        assert entry.summary
        assert entry.license
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)


def test_the_command(server: SimpleNamespace, tmp_path: Path) -> None:
    run = CliRunner()
    listed = run.invoke(app, ["data", "fetch", "--list"])
    assert all(name in listed.stdout for name in public.PUBLIC)
    done = run.invoke(app, ["data", "fetch", "monet2photo", "-o", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.strip() == str(tmp_path / "monet2photo.zip")
    assert hashlib.sha256(ZIP).hexdigest() in done.stderr
    assert "name a set to fetch: monet2photo" in str(run.invoke(app, ["data", "fetch"]).exception)
