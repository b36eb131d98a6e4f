"""Archives, TFRecord files and data sets of the Hub as sets of pictures, on real files and a real server."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.hub_server import Hub
from support.odd_pictures import file_bytes, ramp
from support.records import write_records
from torch.utils.data import DataLoader

from artgan import images
from artgan.data import (
    PictureFolder,
    PictureSet,
    TarPictures,
    TFRecordPictures,
    ZipPictures,
    archives,
    open_pictures,
    packing,
)
from artgan.data.tfrecord import crc32c
from artgan.data.verify import verify
from artgan.errors import PictureError


def png(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


PICTURES = {f"trainA/{i}.png": png(i) for i in range(3)} | {"testA/9.png": png(9)}


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_records(path: Path, pictures: dict[str, bytes]) -> Path:
    write_records(path, [{"image": d, "image_name": n.encode(), "target": b"x"} for n, d in pictures.items()])
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "s.zip": lambda folder: make_zip(folder / "s.zip", PICTURES),
    "stored.zip": lambda folder: make_zip(folder / "stored.zip", PICTURES, zipfile.ZIP_STORED),
    "s.tar": lambda folder: make_tar(folder / "s.tar", PICTURES),
    "s.tar.gz": lambda folder: make_tar(folder / "s.tar.gz", PICTURES, "w:gz"),
    "s.tgz": lambda folder: make_tar(folder / "s.tgz", PICTURES, "w:gz"),
    "s.tar.bz2": lambda folder: make_tar(folder / "s.tar.bz2", PICTURES, "w:bz2"),
    "s.tar.xz": lambda folder: make_tar(folder / "s.tar.xz", PICTURES, "w:xz"),
    "s.tfrec": lambda folder: make_records(folder / "s.tfrec", PICTURES),
}


def refusal(location: str | Path) -> str:
    """The one line with which a location is refused, at opening or reading."""
    with pytest.raises(PictureError) as caught:
        for _ in open_pictures(location):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flip(path: Path, position: int, bits: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= bits
    path.write_bytes(data)


# ---- all kinds


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_gives_the_pictures_that_went_in(kind: str, tmp_path: Path) -> None:
    location = MAKERS[kind](tmp_path)
    pictures = open_pictures(location)
    assert pictures.location == str(location)
    read = [pictures.read(i) for i in range(len(pictures))]
    assert sorted(read) == sorted(PICTURES.values())
    assert [pictures.size_in_bytes(i) for i in range(len(pictures))] == [len(data) for data in read]
    assert pictures[0].size == (8, 6)
    assert pictures[-1].mode == "RGB"
    if kind != "s.tfrec":
        assert list(pictures.names) == sorted(PICTURES)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_set_works_in_other_processes(kind: str, tmp_path: Path) -> None:
    pictures = open_pictures(MAKERS[kind](tmp_path))
    here = [np.asarray(picture).tolist() for picture in pictures]
    again: PictureSet = pickle.loads(pickle.dumps(pictures))
    assert again.fingerprint() == pictures.fingerprint()
    loader = DataLoader(pictures, batch_size=None, num_workers=1, collate_fn=np.asarray)
    assert [picture.tolist() for picture in loader] == here
    assert np.asarray(pictures[0]).tolist() == here[0]


@pytest.mark.slow
def test_a_spawned_worker_gets_a_pickled_set(tmp_path: Path) -> None:
    pictures = open_pictures(MAKERS["s.tar.gz"](tmp_path))
    loader = DataLoader(
        pictures, batch_size=None, num_workers=1, collate_fn=np.asarray, multiprocessing_context="spawn"
    )
    assert len(list(loader)) == len(PICTURES)
    assert pictures[0].size == (8, 6)  # the worker's end does not take the file with it


def test_fingerprint_changes_with_the_pictures(tmp_path: Path) -> None:
    one = ZipPictures(make_zip(tmp_path / "1.zip", PICTURES))
    two = ZipPictures(make_zip(tmp_path / "2.zip", PICTURES | {"x.png": png()}))
    tar = TarPictures(make_tar(tmp_path / "1.tar", PICTURES))
    assert one.fingerprint() == tar.fingerprint() != two.fingerprint()


# ---- locations


@pytest.mark.parametrize("kind", ["s.zip", "s.tar", "s.tar.gz"])
def test_a_folder_in_an_archive(kind: str, tmp_path: Path) -> None:
    pictures = open_pictures(f"{MAKERS[kind](tmp_path)}:trainA")
    assert list(pictures.names) == ["0.png", "1.png", "2.png"]
    assert pictures.location.endswith(":trainA")
    assert pictures.read(2) == PICTURES["trainA/2.png"]
    assert list(open_pictures(f"{tmp_path / kind}:testA/").names) == ["9.png"]
    assert "no pictures in it; pictures are in testA, trainA" in refusal(f"{tmp_path / kind}:train")


def test_folders_of_pictures_and_of_records(tmp_path: Path) -> None:
    make_records(tmp_path / "b.tfrec", PICTURES)
    make_records(tmp_path / "a.tfrec", {"one": png()})
    pictures = open_pictures(tmp_path)
    assert isinstance(pictures, TFRecordPictures)
    assert list(pictures.names)[:2] == ["a.tfrec/000000", "b.tfrec/000000"]
    (tmp_path / "x.png").write_bytes(png())
    assert isinstance(open_pictures(tmp_path), PictureFolder)


def test_other_locations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    assert "artgan reads folders, .zip, .tar" in refusal(tmp_path / "x.rar")
    assert "no such folder or file" in refusal(tmp_path / "absent")
    for name in ("absent.zip", "absent.tar.gz", "absent.tfrec"):
        assert f"{name}: no such file" in refusal(tmp_path / name)
    assert "write hf-hub:ORG/NAME" in refusal("hf-hub:what ever")


# ---- archives


def test_only_pictures_that_are_not_hidden(tmp_path: Path) -> None:
    members = {"./b/1.PNG": png(), "a.jpg/": b"", "__MACOSX/b/._1.png": b"x", ".h.png": b"x", "read.me": b"x"}
    assert list(ZipPictures(make_zip(tmp_path / "s.zip", members)).names) == ["b/1.PNG"]
    del members["a.jpg/"]
    assert list(TarPictures(make_tar(tmp_path / "s.tar", members)).names) == ["b/1.PNG"]


def passed_over(pictures: PictureSet) -> dict[str, tuple[int, list[str]]]:
    return {found.kind: (found.count, found.examples) for found in pictures.passed_over}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/../x.png", "a\\..\\..\\x.png", "C:\\..\\x.png"])
def test_names_that_lead_out_are_passed_over_and_named(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    pictures = open_pictures(make(tmp_path / ("s.zip" if make is make_zip else "s.tar"), PICTURES | {name: png()}))
    assert set(pictures.names) == set(PICTURES)
    assert passed_over(pictures) == {"leads-out": (1, [name])}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("/kaggle/working/x.png", "kaggle/working/x.png"),
        ("C:/Users/me/x.png", "Users/me/x.png"),
        ("D:\\set\\x.png", "set/x.png"),
        ("\\\\server\\set\\x.png", "server/set/x.png"),
        ("trainA\\x.png", "trainA/x.png"),
        ("a/../x.png", "x.png"),
    ],
)
def test_foreign_and_absolute_names_are_read(
    make: Callable[..., Path], name: str, becomes: str, tmp_path: Path
) -> None:
    pictures = open_pictures(make(tmp_path / ("s.zip" if make is make_zip else "s.tar"), {name: png(7)}))
    assert list(pictures.names) == [becomes]
    assert pictures.read(0) == png(7)
    assert not pictures.passed_over


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_are_passed_over(kind: bytes, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "s.tar", PICTURES)
    info = tarfile.TarInfo("l.png")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(path, "a") as archive:
        archive.addfile(info)
    pictures = open_pictures(path)
    assert set(pictures.names) == set(PICTURES)
    assert passed_over(pictures) == {"link": (1, ["l.png"])}


def test_links_in_zip_are_passed_over(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("l.png")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    path = make_zip(tmp_path / "s.zip", PICTURES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    pictures = open_pictures(path)
    assert set(pictures.names) == set(PICTURES)
    assert passed_over(pictures) == {"link": (1, ["l.png"])}


def test_encrypted_members_are_passed_over(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"b.png": png(1), "a.png": png()})
    flip(path, path.read_bytes().rindex(b"PK\1\2") + 8)
    pictures = open_pictures(path)
    assert list(pictures.names) == ["b.png"]
    assert passed_over(pictures) == {"encrypted": (1, ["a.png"])}
    assert str(pictures.passed_over[0]) == "1 encrypted member (unpack the archive and give the folder): a.png"


def test_what_is_missing_is_named_where_nothing_is_left(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"a.png": png()})
    flip(path, path.read_bytes().rindex(b"PK\1\2") + 8)
    assert "no pictures in it; passed over: 1 encrypted member (unpack the archive" in refusal(path)
    inner = make_zip(tmp_path / "inner.zip", {"a.png": png()}).read_bytes()
    path = make_zip(tmp_path / "s.zip", {"inner.zip": inner})
    assert "no pictures in it; passed over: 1 archive within it (unpack it): inner.zip" in refusal(path)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, packing.DEFLATE64]
)
def test_all_methods_of_compression(method: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = png() + bytes(range(256)) * 300  # more than one piece, and something to compress
    if method == packing.DEFLATE64:
        inflate64 = pytest.importorskip("inflate64")
        path = make_zip(tmp_path / "s.zip", {"a.png": data}, zipfile.ZIP_STORED)
        pictures = ZipPictures(path)
        deflater = inflate64.Deflater()
        packed = deflater.deflate(data) + deflater.flush()
        assert packing.unpack(packed, method, len(data)) == data
        assert len(packing.unpack(packed, method, 10)) != 10
        monkeypatch.setitem(packing.METHODS, method, packing.METHODS[method])
        del packing.METHODS[method]
        central = path.read_bytes().rindex(b"PK\1\2")
        flip(path, central + 10, method)
        assert "Deflate64 (pip install inflate64, or unpack the archive): a.png" in refusal(path)
        return
    pictures = ZipPictures(make_zip(tmp_path / "s.zip", {"a.png": data}, method))
    assert pictures.read(0) == data
    pictures.members[0] = pictures.members[0]._replace(size=len(data) - 1)
    with pytest.raises(PictureError, match="is damaged"):  # larger than it says
        pictures.read(0)


def test_a_method_that_is_unknown_is_passed_over(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"b.png": png(1), "a.png": png()}, zipfile.ZIP_STORED)
    flip(path, path.read_bytes().rindex(b"PK\1\2") + 10, 97)
    assert passed_over(ZipPictures(path)) == {"method": (1, ["a.png"])}


def test_of_two_members_of_one_name_the_later_is_read_and_the_earlier_named(tmp_path: Path) -> None:
    pictures = ZipPictures(make_zip(tmp_path / "s.zip", {"x.png": png(0), "/x.png": png(1)}))
    assert list(pictures.names) == ["x.png"]
    assert pictures.read(0) == png(1)
    assert passed_over(pictures) == {"same-name": (1, ["x.png"])}


# ---- folders

METADATA = [".ipynb_checkpoints", ".thumbnails", "__MACOSX", "@eaDir", ".AppleDouble", "$RECYCLE.BIN", "#recycle"]


def put(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))
    return path


def test_hidden_and_metadata_folders_are_passed_over(tmp_path: Path) -> None:
    for seed, name in enumerate(["a.png", "sub/b.png"]):
        put(tmp_path / name, seed)
    for number, name in enumerate(METADATA):
        put(tmp_path / ("sub" if number % 2 else ".") / name / "deeper" / "x.png")
    put(tmp_path / "._a.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "more.zip").touch()
    pictures = PictureFolder(tmp_path)
    assert list(pictures.names) == ["a.png", "sub/b.png"]
    found = passed_over(pictures)
    assert {kind: count for kind, (count, _) in found.items()} == {"hidden": len(METADATA) + 1, "other": 1, "nested": 1}
    assert found["other"][1] == ["notes.txt"]
    assert [each.kind for each in pictures.passed_over if each.unexpected] == ["nested"]
    put(tmp_path / ".set" / "c.png")
    assert list(PictureFolder(tmp_path / ".set").names) == ["c.png"]  # the folder that is named is always read


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_links_are_followed_without_loops_and_a_picture_counts_once(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "deep" / "x.png", 1)
    put(tmp_path / "elsewhere" / "y.png", 2)
    folder = tmp_path / "set"
    put(folder / "m" / "own.png", 3)
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere" / "deep")  # reached by linked/deep too
    (folder / "a-link-to-own.png").symlink_to(folder / "m" / "own.png")
    (folder / "m" / "up").symlink_to("..")
    (tmp_path / "elsewhere" / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(tmp_path / "absent.png")
    pictures = PictureFolder(folder)
    assert list(pictures.names) == ["again/x.png", "linked/y.png", "m/own.png"]
    assert pictures.read(2) == png(3)
    assert {kind: count for kind, (count, _) in passed_over(pictures).items()} == {"broken-link": 1, "repeated": 4}
    only = tmp_path / "only"
    only.mkdir()
    (only / "of").symlink_to(tmp_path / "elsewhere")
    assert set(PictureFolder(only).names) == {"of/y.png", "of/deep/x.png", "of/loop/m/own.png"}


def test_a_hard_link_is_the_same_picture(tmp_path: Path) -> None:
    os.link(put(tmp_path / "b.png"), tmp_path / "a.png")
    assert list(PictureFolder(tmp_path).names) == ["a.png"]


# ---- headers


def test_faults_are_found_without_decoding_what_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    for name in ("a.png", "b.jpg", "c.webp", "d.gif", "e.bmp"):
        picture.save(tmp_path / name)
    assert "a.png" in PictureFolder(tmp_path).names
    decoded: list[str] = []
    decode = images.decode_bytes
    monkeypatch.setattr(images, "decode_bytes", lambda data, name: (decoded.append(name), decode(data, name))[1])
    pictures = PictureFolder(tmp_path)
    assert [pictures.glance(index, 32).fault for index in range(5)] == [None] * 5
    assert not decoded
    trailing = tmp_path / "b.jpg"
    trailing.write_bytes(trailing.read_bytes() + b"a film, as phones add")
    assert pictures.glance(1, 32).fault is None
    assert len(decoded) == 1
    for path in pictures.paths[:3]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    for index in range(3):
        fault = pictures.glance(index, 32).fault
        assert fault is not None
        assert pictures.names[index] in fault
    (tmp_path / "d.gif").write_bytes(b"")
    assert "is empty (0 bytes)" in str(pictures.glance(3, 32).fault)
    Image.new("RGB", (7, 300)).save(tmp_path / "e.bmp")
    assert "7 x 300 pixels are too small" in str(pictures.glance(4, 32).fault)
    Image.new("L", (8, 100_000)).save(tmp_path / "e.bmp")
    assert "too narrow for crops of 256 pixels" in str(pictures.glance(4, 256).fault)
    assert pictures.glance(4, 16).fault is None


# ---- damage


def test_a_flipped_bit_in_a_zip_is_found(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = make_zip(tmp_path / "s.zip", {"a.png": png()}, method)
        flip(path, 30 + 5 + 20)
        assert "'a.png' is damaged" in refusal(path)


@pytest.mark.parametrize("kind", list(MAKERS))
def test_truncation_is_found_wherever_it_cuts(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    whole = path.read_bytes()
    end = (
        len(whole) if not kind.endswith(".tar") else len(whole.rstrip(b"\0")) + 1
    )  # of the blocks of zeros one will do
    record = len(make_records(tmp_path / "one.tfrec", {"trainA/0.png": png(0)}).read_bytes())
    for size in {0, 1, 11, 12, 13, end // 4, end // 2, end - 1, *range(0, end, 512)}:
        if kind == "s.tfrec" and size == record:
            continue  # a whole file of one record
        path.write_bytes(whole[:size])
        assert str(path) in refusal(path)


def test_a_damaged_tar_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "s.tar", PICTURES)
    flip(path, 1024 + 3)  # the second header
    assert "damaged or incomplete tar archive" in refusal(path)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.DIRTYPE])
def test_sizes_below_zero_in_tar_do_not_go_round_for_ever(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.type, info.size = kind, -1024
    (tmp_path / "s.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    refusal(tmp_path / "s.tar")


def test_an_offset_beyond_any_file(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"a.png": png()})
    pictures = ZipPictures(path)
    pictures.members[0] = pictures.members[0]._replace(offset=1 << 64)
    with pytest.raises(PictureError, match="cannot be read at byte"):
        pictures.read(0)


def test_bombs_are_refused_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER", 5000)
    assert "'a.png' has 0 MB, over the limit" in refusal(make_zip(tmp_path / "s.zip", {"a.png": bytes(5001)}))
    assert "over the limit" in refusal(make_tar(tmp_path / "s.tar", {"a.png": bytes(5001)}))
    monkeypatch.setattr(archives, "MAX_MEMBER", 1 << 30)
    monkeypatch.setattr(archives, "_ALWAYS", 1 << 20)
    blank = {f"{i}.png": bytes(1 << 20) for i in range(4)}
    assert "it is a decompression bomb" in refusal(make_zip(tmp_path / "s.zip", blank))
    assert "it is a decompression bomb" in refusal(make_tar(tmp_path / "s.tgz", blank, "w:gz"))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    assert "more than 3 members" in refusal(make_zip(tmp_path / "s.zip", PICTURES))
    assert "more than 3 members" in refusal(make_tar(tmp_path / "s.tar", PICTURES))


def test_a_member_larger_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"a.png": bytes(64 << 20)})
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\1\2")
    data[central + 24 : central + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    pictures = ZipPictures(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="damaged"):
        pictures.read(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_the_temporary_file_goes_with_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    pictures = TarPictures(MAKERS["s.tar.xz"](tmp_path))
    assert len(list(temporary.iterdir())) == 1
    child = os.fork()
    if not child:  # a forked process that lets go of its copy does not remove the file
        del pictures
        os._exit(0)
    os.waitpid(child, 0)
    assert pictures[0].size == (8, 6)
    del pictures
    assert not list(temporary.iterdir())
    (tmp_path / "s.tgz").write_bytes(gzip.compress(b"no tar"))
    with pytest.raises(PictureError, match="damaged, incomplete, or not an archive"):
        TarPictures(tmp_path / "s.tgz")
    assert not list(temporary.iterdir())


def test_many_random_reads_leave_no_file_open(tmp_path: Path) -> None:
    pictures = ZipPictures(make_zip(tmp_path / "s.zip", PICTURES))
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    for _ in range(200):
        index = random.randrange(len(pictures))
        assert pictures.read(index) == PICTURES[pictures.names[index]]
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


# ---- hostile bytes


def try_to_read(data: bytes, suffix: str) -> None:
    """Any bytes give pictures or a PictureError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(data)
        with suppress(PictureError):
            pictures = open_pictures(path)
            for index in range(len(pictures)):
                pictures.size_in_bytes(index)
                pictures.read(index)


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A sound file with some bytes changed and its end cut."""

    def change(edits: list[tuple[int, int]], cut: int) -> bytes:
        data = bytearray(seed)
        for position, value in edits:
            data[position] = value
        return bytes(data[: len(data) - cut])

    edit = st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255))
    return st.builds(change, st.lists(edit, max_size=8), st.integers(0, 40))


def seed_of(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return MAKERS[kind](Path(folder)).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("s.zip", ".zip"), ("s.tar", ".tar"), ("s.tar.gz", ".tgz"), ("s.tar.xz", ".tar.xz"), ("s.tfrec", ".tfrec")],
)
def test_hostile_bytes(kind: str, suffix: str) -> None:
    seed = seed_of(kind)

    @settings(max_examples=120)
    @given(st.one_of(st.binary(max_size=2000), mutated(seed), st.binary(max_size=600).map(lambda b: seed[:40] + b)))
    def check(data: bytes) -> None:
        try_to_read(data, suffix)

    check()


@pytest.mark.slow
@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=300), mutated(b"\n\x10\n\x0e\n\x05image\x12\x05\n\x03\n\x01x")))
def test_hostile_examples(data: bytes) -> None:
    """Records with sound checksums around any bytes."""
    try_to_read(frame(data), ".tfrec")


# ---- TFRecord


def bitwise(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def mask(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + mask(bitwise(length)) + data + mask(bitwise(data))


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_crc32c_of_known_data(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc == bitwise(data)


@given(st.binary(max_size=400))
def test_crc32c_is_the_bitwise_one(data: bytes) -> None:
    assert crc32c(data) == bitwise(data)


def test_crc32c_of_data_longer_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(0).randbytes(5000)
    monkeypatch.setattr("artgan.data.tfrecord._BLOCK", 1024)
    assert crc32c(data) == bitwise(data)


def test_a_record_as_the_specification_has_it(tmp_path: Path) -> None:
    """Put together by hand, with fields that are to be passed over: floats, integers, an unknown field."""

    def field(number: int, data: bytes) -> bytes:
        assert len(data) < 128
        return bytes([number << 3 | 2, len(data)]) + data

    def feature(name: bytes, value: bytes) -> bytes:
        return field(1, field(1, name) + field(2, value))

    floats, integers = field(2, field(1, struct.pack("<2f", 1, 2))), field(3, field(1, b"\x05\x96\x01"))
    features = feature(b"f", floats) + feature(b"i", integers) + feature(b"image", field(1, field(1, b"JPEG")))
    data = b"\x18\x96\x01" + field(1, features) + b"\x25abcd\x29abcdefgh"
    (tmp_path / "s.tfrecord").write_bytes(frame(data) * 2)
    pictures = TFRecordPictures(tmp_path / "s.tfrecord")
    assert [pictures.read(0), pictures.read(1)] == [b"JPEG"] * 2
    assert pictures.size_in_bytes(1) == 4


@pytest.mark.slow
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_records_come_back_as_written(pictures: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.tfrec"
        write_records(path, [{"target": b"t", "image": data, "image_name": b"n"} for data in pictures])
        read = TFRecordPictures(path)
        assert [read.read(i) for i in range(len(read))] == pictures
        assert os.listdir(folder) == ["s.tfrec"]


def test_a_flipped_bit_in_a_record_is_found(tmp_path: Path) -> None:
    whole = make_records(tmp_path / "s.tfrec", {"a": png()}).read_bytes()
    for position in (0, 7, 9, 20, len(whole) // 2, len(whole) - 5, len(whole) - 1):
        (tmp_path / "s.tfrec").write_bytes(whole)
        flip(tmp_path / "s.tfrec", position, 4)
        assert "damaged" in refusal(tmp_path / "s.tfrec")


def test_lengths_that_cannot_be_are_refused_before_reading(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 62)
    (tmp_path / "s.tfrec").write_bytes(length + mask(bitwise(length)) + bytes(100))
    assert "ends within record 0" in refusal(tmp_path / "s.tfrec")
    length = struct.pack("<Q", 1 << 33)
    (tmp_path / "s.tfrec").write_bytes(length + mask(bitwise(length)))
    os.truncate(tmp_path / "s.tfrec", (1 << 33) + 16)  # a hole that takes no room
    assert "record 0 has 8,590 MB, over the limit" in refusal(tmp_path / "s.tfrec")


def test_a_record_without_a_picture_names_what_it_has(tmp_path: Path) -> None:
    write_records(tmp_path / "s.tfrec", [{"id": b"1", "pixels": b"2"}])
    assert "record 0 has no bytes named 'image'; it has 'id', 'pixels'" in refusal(tmp_path / "s.tfrec")
    assert TFRecordPictures(tmp_path / "s.tfrec", "pixels").read(0) == b"2"


# ---- the Hub

TOKEN = "hf_" + "secret" * 5  # gives no access to what is gated


def parquet(columns: dict[str, list[object]], rows_in_group: int = 2) -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, row_group_size=rows_in_group)
    return file.getvalue()


def structs(*seeds: int) -> list[object]:
    return [{"bytes": png(seed), "path": f"{seed}.png"} for seed in seeds]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    pytest.importorskip("pyarrow")
    both = {"imageA": structs(0, 1), "imageB": structs(2, 3)}
    damaged = bytearray(parquet({"image": structs(*range(6))}))
    damaged[20:400] = bytes(380)
    repositories = {
        "org/one": {"README.md": b"", "data/train-00000-of-00001-ab12.parquet": parquet({"image": structs(*range(5))})},
        "org/two": {
            "data/train-00000-of-00002.parquet": parquet(both),
            "data/train-00001-of-00002.parquet": parquet(both),
            "data/test-00000-of-00001.parquet": parquet({"raw": [png(7)], "label": [1]}),
        },
        "org/folders": {"train/0000.parquet": parquet({"x": [png(1)]}), "val/0000.parquet": parquet({"x": [png(2)]})},
        "org/unsplit": {"a.parquet": parquet({"x": [png(1)]}), "b.parquet": parquet({"x": [png(2)]})},
        "org/part": {"train-00000-of-00002.parquet": parquet({"x": [png(1)]})},
        "org/plain": {"1.png": png(1), "s.zip": b"PK"},
        "org/bad": {"train.parquet": b"PAR1 not at all"},
        "org/damaged": {"train.parquet": bytes(damaged)},
        "org/null": {"train.parquet": parquet({"image": [{"bytes": None, "path": "x"}, *structs(1)]})},
        "org/text": {"train.parquet": parquet({"text": ["a"]})},
    }
    with Hub().serve() as hub:
        for name, files in repositories.items():
            hub.add(name, files, kind="datasets")
        hub.add("org/gated", {"train.parquet": b""}, kind="datasets", gated=True)
        hub.fault("GET /api/datasets/org/down", status=500)
        yield hub


SCRIPT = """
import json, pickle, sys
import numpy as np
from torch.utils.data import DataLoader
from artgan.data import open_pictures
from artgan.errors import PictureError
for location in json.load(sys.stdin):
    try:
        pictures = open_pictures(location)
        found = {
            "names": list(pictures.names),
            "read": [pictures.read(i).hex() for i in range(len(pictures))],
            "sizes": [pictures.size_in_bytes(i) for i in range(len(pictures))],
            "fingerprint": pictures.fingerprint(),
        }
        assert pickle.loads(pickle.dumps(pictures)).read(0).hex() == found["read"][0]
        if location == "hf-hub:org/one":
            loader = DataLoader(pictures, batch_size=None, num_workers=1, collate_fn=np.asarray)
            assert len(list(loader)) == len(pictures)
    except PictureError as error:
        found = str(error)
    print(json.dumps(found))
"""


def ask(cache: Path, address: str, *locations: str, offline: bool = False) -> list[dict[str, object] | str]:
    """What the locations give in a new process: huggingface_hub reads its settings when it is imported."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(locations), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.mark.slow
def test_data_sets_of_the_hub(hub: Hub, hub_cache: Path) -> None:
    locations = {
        "hf-hub:org/one": range(5),
        "hf-hub:org/one@main:train/image": range(5),
        f"hf-hub:org/one@{hub.repositories['datasets/org/one'].branches['main']}": range(5),
        "hf-hub:org/two:train/imageB": (2, 3, 2, 3),
        "hf-hub:org/two:test": (7,),
        "hf-hub:org/folders:val": (2,),
        "hf-hub:org/folders": (1,),
    }
    found = ask(hub_cache, hub.url, *locations)
    for answer, seeds in zip(found, locations.values(), strict=True):
        assert isinstance(answer, dict), answer
        assert answer["read"] == [png(seed).hex() for seed in seeds]
        assert answer["sizes"] == [len(png(seed)) for seed in seeds]
    assert found[0]["names"][:2] == ["train/000000", "train/000001"]
    assert found[0]["fingerprint"] == found[2]["fingerprint"] != found[3]["fingerprint"]

    # What has been fetched once is there without the Hub; what has not is refused.
    there, absent = ask(hub_cache, hub.url, "hf-hub:org/one", "hf-hub:org/unsplit:a", offline=True)
    assert there["read"] == found[0]["read"]
    assert absent == "hf-hub:org/unsplit:a: not in the cache, and HF_HUB_OFFLINE is set"
    there, absent = ask(hub_cache, "http://127.0.0.1:9", "hf-hub:org/two:test", "hf-hub:org/unsplit:a")
    assert there["read"] == [png(7).hex()]
    assert "cannot be fetched from the Hub and is not in the cache" in absent


@pytest.mark.slow
def test_faults_of_data_sets_of_the_hub(hub: Hub, hub_cache: Path) -> None:
    faults = {
        "hf-hub:org/absent": "no such data set on the Hub, or it is private",
        "hf-hub:org/gated": "this data set is gated; ask for access",
        "hf-hub:org/down": "the Hub answered with status 500",
        "hf-hub:org/one@v9": "no revision 'v9'",
        "hf-hub:org/--x": "not a name that a data set can have",
        "hf-hub:org/one:test": "no split 'test'; it has train",
        "hf-hub:org/one:train/picture": "no column 'picture' of pictures; there are: image",
        "hf-hub:org/two": "name the column of pictures, as in :SPLIT/COLUMN; there are: imageA, imageB",
        "hf-hub:org/unsplit": "name a split; it has a, b",
        "hf-hub:org/part": "1 of the 2 files of train are there",
        "hf-hub:org/plain": "no Parquet file in it; artgan cannot read data sets of plain picture files",
        "hf-hub:org/bad": "damaged, or not a Parquet file",
        "hf-hub:org/damaged": "fetch it again",
        "hf-hub:org/null": "train/000000 has no picture's bytes in 'image'",
        "hf-hub:org/text": "there are: none",
    }
    for answer, (location, expected) in zip(ask(hub_cache, hub.url, *faults), faults.items(), strict=True):
        assert isinstance(answer, str), location
        assert expected in answer
        assert "\n" not in answer


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert 'pip install "artgan[hub-data]"' in refusal("hf-hub:org/one")


def test_heic_and_jpeg_xl_are_pictures_of_a_set(tmp_path: Path) -> None:
    made = {"a.HEIC": "HEIF", "b.jxl": "JXL", "c.avif": "AVIF", "d.jpg": "HEIF", "e.heic": "JPEG"}
    folder, archive = tmp_path / "set", tmp_path / "set.zip"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for number, (name, format_) in enumerate(made.items()):
            data = file_bytes(ramp((64 + number, 48)), format_, quality=95)
            (folder / name).write_bytes(data)
            file.writestr(name, data)
    for place in (folder, archive):
        pictures = open_pictures(place)
        assert list(pictures.names) == sorted(made)
        for number, picture in enumerate(pictures):
            right = np.asarray(ramp((64 + number, 48))).astype(int)
            assert np.abs(np.asarray(picture) - right).mean() < 4
        assert not [finding for finding in verify(pictures).findings if finding.kind == "unreadable"]
