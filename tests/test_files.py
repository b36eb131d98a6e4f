"""Files appear complete or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artgan import files
from artgan.errors import PictureError, did_you_mean, one_line

FULL = OSError(28, "No space left on device")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(path: Path, data: bytes) -> None:
    with files.atomic_write(path) as part:
        part.write_bytes(data)


@pytest.mark.parametrize("before", [{}, {"x": b"old"}], ids=["new", "replaced"])
def test_a_file_is_written_and_nothing_else(tmp_path: Path, before: dict[str, bytes]) -> None:
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)
    with files.atomic_write(tmp_path / "x") as part:
        assert part.parent == tmp_path
        assert part.name.startswith(f".artgan-{socket.gethostname()}-{os.getpid()}-")
        part.write_bytes(b"new")
        assert content(tmp_path) == {**before, part.name: b"new"}
    assert content(tmp_path) == {"x": b"new"}


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupted"])
@pytest.mark.parametrize("step", [(Path, "open"), (Path, "write_bytes"), (os, "fsync"), (os, "replace")])
@pytest.mark.parametrize("before", [{}, {"x": b"old"}], ids=["new", "replaced"])
def test_a_failure_at_any_step_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, bytes],
    step: tuple[Any, str],
    error: BaseException,
) -> None:
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(*step, fail)
        with pytest.raises(type(error)):
            write(tmp_path / "x", b"new")
    assert content(tmp_path) == before


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX")
def test_the_content_reaches_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def noted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            steps.append("fsync of a folder" if folder else name)
            return step(*arguments)

        return run

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("replace", os.replace))
    write(tmp_path / "x", b"new")
    assert steps == ["fsync", "replace", "fsync of a folder"]
    steps.clear()
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a").touch()
    (tmp_path / "part" / "b").touch()
    files.replace_durably(tmp_path / "part", tmp_path / "whole")
    assert steps == ["fsync", "fsync", "fsync of a folder", "replace", "fsync of a folder"]
    assert content(tmp_path / "whole") == {"a": b"", "b": b""}


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    write(tmp_path / "x", b"new")
    assert content(tmp_path) == {"x": b"new"}


@pytest.mark.skipif(os.name != "posix", reason="needs a umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "x", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_a_symbolic_link_is_itself_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert content(tmp_path) == {"target": b"old", "link": b"new"}


def test_two_writers_of_one_name_do_not_disturb_each_other(tmp_path: Path) -> None:
    with files.atomic_write(tmp_path / "x") as first:
        first.write_bytes(b"first")
        with files.atomic_write(tmp_path / "x") as second:
            second.write_bytes(b"second")
        assert content(tmp_path) == {"x": b"second", first.name: b"first"}
    assert content(tmp_path) == {"x": b"first"}


@pytest.mark.slow
def test_whoever_reads_meanwhile_sees_a_whole_file(tmp_path: Path) -> None:
    """Two processes and a thread write, each its own text, and every look finds one of them in full."""
    texts = [letter * 100_000 for letter in (b"a", b"b", b"c")]
    code = (
        "import sys; from pathlib import Path; from artgan.files import atomic_write\n"
        "for _ in range(30):\n"
        "    with atomic_write(Path(sys.argv[1])) as part: part.write_bytes(sys.argv[2].encode() * 100_000)\n"
    )
    path = tmp_path / "x"
    path.write_bytes(texts[0])
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "ab"]
    thread = threading.Thread(target=lambda: [write(path, texts[2]) for _ in range(30)])
    thread.start()
    while thread.is_alive() or any(process.poll() is None for process in processes):
        assert path.read_bytes() in texts
    assert [process.wait() for process in processes] == [0, 0]
    assert os.listdir(tmp_path) == ["x"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from artgan.files import atomic_write, temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1])), atomic_write(Path(sys.argv[1], 'x')): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9
    assert [path.is_dir() for path in sorted(tmp_path.iterdir(), key=Path.is_dir)] == [False, True]
    with files.atomic_write(tmp_path / "y") as mine, files.temporary_folder(tmp_path) as folder:
        files.remove_unfinished(tmp_path)
        assert {*tmp_path.iterdir()} == {mine, Path(folder)}
    assert os.listdir(tmp_path) == ["y"]


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()

    def refusal(path: Path, *, overwrite: bool = False) -> str:
        with pytest.raises(PictureError) as caught:
            files.check_writable(path, overwrite=overwrite, error=PictureError)
        return str(caught.value)

    assert "is a folder" in refusal(tmp_path, overwrite=True)
    assert "exists already" in refusal(tmp_path / "taken")
    assert "there is no folder" in refusal(tmp_path / "none" / "x")
    files.check_writable(tmp_path / "taken", overwrite=True, error=PictureError)
    files.check_writable(tmp_path / "new", overwrite=False, error=PictureError)


@pytest.mark.parametrize(
    ("error", "line", "with_kind"),
    [
        (ValueError(" a\n  b "), "a b", "ValueError: a b"),
        (ValueError(), "ValueError", "ValueError"),
        (OSError(28, "No space left", "/x"), "No space left", "OSError: [Errno 28] No space left: '/x'"),
        (OSError("cannot"), "cannot", "OSError: cannot"),
        (RuntimeError("\x1b[96mblue\x1b[0m"), "blue", "RuntimeError: blue"),
        (ValueError("x" * 900), "x" * 500 + " ...", "ValueError: " + "x" * 488 + " ..."),
    ],
)
def test_errors_on_one_line(error: Exception, line: str, with_kind: str) -> None:
    assert one_line(error) == line
    assert one_line(error, kind=True) == with_kind


def test_near_names_are_asked_for() -> None:
    assert did_you_mean("monnet", ["monet", "manet", "cezanne"]) == "did you mean 'monet'?"
    assert did_you_mean("monnet", ["monet", "manet", "x"], most=3, show=str) == "did you mean monet or manet?"
    assert did_you_mean("qqq", ["monet"]) == "" == did_you_mean("qqq", [])
