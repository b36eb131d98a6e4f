"""`artgan paint` between pipes, watching a folder, and given addresses: the real program."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import artgan
from artgan.images import missing


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).resize((64, 48))


def stored(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def paint(*words: str | Path, data: bytes = b"", status: int = 0) -> tuple[bytes, str]:
    """Standard output and the lines of standard error."""
    done = subprocess.run([sys.executable, "-m", "artgan", "paint", *map(str, words)], input=data, capture_output=True)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout, done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_from_pipe_to_pipe_in_the_format_of_the_photo(format: str) -> None:
    data = stored(picture(), format)
    out, said = paint("-", "-o", "-", data=data)
    assert said == ""
    with Image.open(io.BytesIO(out)) as painting:
        assert painting.format == format
        if format == "PNG":  # without loss
            expected = artgan.load("monet", runtime="auto").paint(Image.open(io.BytesIO(data)))
            assert np.array_equal(np.asarray(painting), np.asarray(expected))


@pytest.mark.slow
def test_one_end_may_be_a_file(tmp_path: Path) -> None:
    data = stored(picture(), "PNG")
    (tmp_path / "photo.png").write_bytes(data)
    written, _ = paint("-", "-o", tmp_path / "out.png", data=data)
    assert written.decode().splitlines() == [str(tmp_path / "out.png")]
    piped, _ = paint(tmp_path / "photo.png", "-o", "-")
    assert piped == (tmp_path / "out.png").read_bytes()


@pytest.mark.slow
def test_what_is_no_picture_is_named_and_nothing_is_written() -> None:
    out, said = paint("-", "-o", "-", data=b"nonsense", status=1)
    assert out == b""
    assert said.startswith("artgan: standard input: not a picture")
    assert len(said.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-"], "the painting of standard input needs a name: -o FILE"),
        (["-", "-", "-o", "-"], "a pipe holds one picture"),
        ([".", "-o", "-"], "a pipe holds one picture"),
        (["-", "-o", "folder/"], "standard input has no name"),
        (["-", "-o", "-", "--format", "json"], "--format json and -o - contradict each other"),
        (["--watch", "photo.jpg"], "--watch takes folders"),
    ],
)
def test_what_pipes_cannot_hold_is_refused(words: list[str], told: str) -> None:
    _, said = paint(*words, status=2)
    assert told in said


@pytest.mark.slow
def test_an_address_is_refused_with_what_to_do_and_without_secrets() -> None:
    _, said = paint("https://someone:secret@example.com/a/photo.jpg?token=secret", status=1)
    assert said.startswith("artgan: https://example.com/a/photo.jpg: is a URL, but artgan reads only files; download")
    assert "secret" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("path", ["C:/photo.jpg", "photo.jpg", "a/http/b.jpg", "x:/y"])
def test_a_path_is_no_address(path: str) -> None:
    assert missing(path, "no such file") == f"{path}: no such file"


# ---- watching


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "artgan", "paint", "--watch", "in", "-o", "out", "--format", "json"],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # A shell lets what it starts in the background ignore Ctrl-C.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent in another way on Windows")
def test_watching_paints_what_is_there_and_what_arrives_until_ctrl_c(
    tmp_path: Path, watching: Callable[[], subprocess.Popen[str]]
) -> None:
    (tmp_path / "in").mkdir()
    picture(0).save(tmp_path / "in" / "first.png")
    process = watching()
    assert process.stdout is not None

    def next_output() -> str:
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["output"])

    assert next_output() == str(Path("out", "first.png"))
    data = stored(picture(1), "PNG")
    (tmp_path / "in" / "second.png").write_bytes(data[:500])  # still being written
    time.sleep(2.5)
    (tmp_path / "in" / "second.png").write_bytes(data)
    assert next_output() == str(Path("out", "second.png"))
    expected = artgan.load("monet", runtime="auto").paint(picture(1))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "second.png")), np.asarray(expected))
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert said.splitlines() == ["artgan: watching; press Ctrl-C to stop"]
