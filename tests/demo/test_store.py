"""The page's folder: what is removed and when, and how much it may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from artgan.demo import store as stores
from artgan.demo.store import Store
from artgan.errors import ArtganError

HASH = "ab" * 32


def upload(store: Store, name: str = "photo.jpg", content: str = HASH) -> Path:
    path = store.folder / content / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * 100)
    return path


def test_a_visitor_has_the_results_of_the_last_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.new_folder("one")
    other = store.new_folder("two")
    second = store.new_folder("one")
    assert not first.exists()
    assert second.is_dir()
    assert other.is_dir()
    assert len({first.name, second.name, other.name}) == 3
    assert min(map(len, (first.name, second.name))) >= 20  # cannot be guessed


def test_what_a_visitor_had_goes_with_the_visitor(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path, results = upload(store), store.new_folder("one")
    (results / "painting.jpg").write_bytes(b"x")
    store.remember("one", [path])
    store.remember("two", [path])
    store.leave("one")
    assert not results.exists()
    assert path.exists()  # the same upload is the other one's too
    store.leave("two")
    assert not path.parent.exists()
    store.leave("two")  # again does no harm


def test_results_that_are_written_after_a_visitor_left_go_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    results = store.new_folder("one")
    with store.in_use(results):
        store.leave("one")
        results.mkdir()
        (results / "painting.jpg").write_bytes(b"x")
    assert not results.exists()
    kept = store.new_folder("two")
    with store.in_use(kept):
        (kept / "painting.jpg").write_bytes(b"x")
    assert (kept / "painting.jpg").exists()


def test_nothing_but_uploads_is_ever_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "inside")
    own = tmp_path / "inside" / "example" / "landscape.jpg"
    outside = tmp_path / HASH / "photo.jpg"
    for path in (own, outside):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    store.remember(
        "one", [own, outside, tmp_path / "inside" / HASH / "missing" / ".." / ".." / ".." / HASH / "photo.jpg"]
    )
    store.leave("one")
    assert own.exists()
    assert outside.exists()


def test_those_who_never_say_goodbye_are_swept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    old = store.new_folder("old")
    monkeypatch.setattr(stores, "monotonic", lambda now=stores.monotonic: now() + stores.KEPT + 1)
    new = store.new_folder("new")
    assert not old.exists()
    assert new.exists()


def test_the_folder_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MOST_STORED", 1000)
    store = Store(tmp_path)
    for number in range(10):
        upload(store, f"{number}.jpg")
    store.check_room(0)
    with pytest.raises(ArtganError, match="try again in an hour"):
        store.check_room(1)
    upload(store, "one-more.jpg")
    with pytest.raises(ArtganError):
        store.new_folder("one")
