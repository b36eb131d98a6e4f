"""Stores of pictures by name: names that stay inside, secrets that stay unsaid, what a target holds."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artgan.data.cluster import Cluster, Spool
from artgan.data.stores import (
    Held,
    Location,
    check_name,
    is_store,
    location_of,
    shown,
)
from artgan.errors import ConfigError, PictureError

PARTS = st.sampled_from(["", ".", "..", "a", "b.png", "\0", "...", "-", "~", "C:", "é"])


@given(st.lists(PARTS, min_size=1, max_size=6).map("/".join))
def test_a_name_that_is_taken_stays_inside(name: str) -> None:
    try:
        check_name(name)
    except PictureError:
        return
    root = PurePosixPath("/target")
    parts = (root / name).parts
    assert parts[:2] == root.parts
    assert ".." not in parts
    assert len(parts) == 2 + len(name.split("/"))


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "", "a//b", "./a", "a/.", "a\0b"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(PictureError, match="leads out of the target"):
        Location(str(tmp_path / "target")).put(tmp_path / "file", name)


@given(st.sets(st.text(min_size=1)), st.lists(st.text(min_size=1)))
def test_what_is_held_is_known(names: set[str], others: list[str]) -> None:
    held = Held(iter(names))
    assert all(name in held for name in names)
    assert [name in held for name in others] == [name in names for name in others]


@given(st.from_regex(r"[a-zA-Z0-9]{8,20}", fullmatch=True))
def test_a_secret_is_not_shown(secret: str) -> None:
    secret = f"S{secret}S"
    for text in (
        f"sftp://user:{secret}@host/folder",
        f"s3://bucket/in?token={secret}",
        f"cannot be read (GET https://user:{secret}@host/x?signature={secret} failed)",
    ):
        assert secret not in shown(text)
    assert shown("sftp://user:x@host/folder") == "sftp://host/folder"
    assert shown("a folder/what?.png") == "a folder/what?.png"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://bucket/in", True),
        ("hf://datasets/org/name", True),
        ("hf-hub:org/name", True),
        ("set/{00..11}.tar", True),
        ("photos", False),
        ("photo.jpg", False),
        ("https://example.org/photo.jpg", False),  # is told to be downloaded first
        ("C:/photos", False),
        ("C:\\photos", False),
    ],
)
def test_what_is_a_store(location: str, expected: bool) -> None:
    assert is_store(location) is expected
    assert is_store(location_of(Path(location))) is expected


def test_a_place_is_opened_where_it_is_used() -> None:
    pytest.importorskip("fsspec")
    place = pickle.loads(pickle.dumps(Location("memory://somewhere")))
    assert place.location == "memory://somewhere"
    assert list(place.names()) == []


def test_a_spool_gives_its_items_again_and_leaves_nothing() -> None:
    items = [[number, "name"] for number in range(1203)]
    with Spool(iter(items)) as spool:
        assert len(spool) == len(items)
        assert list(spool) == list(spool) == items
        files = spool.files
        assert len(files) == 3
    assert not any(file.exists() for file in files)


def test_what_is_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ray", "fsspec"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r'--engine ray needs Ray: pip install "artgan\[ray\]"'):
        Cluster()
    with pytest.raises(ConfigError, match=r's3://bucket: URLs need fsspec: pip install "artgan\[ray\]"'):
        Location("s3://bucket")
