"""What a folder holds besides pictures, and what the names of outputs mean."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from support.odd_pictures import FOREIGN, file_bytes, ramp, whole

from artgan.errors import ArtganError
from artgan.images import formats
from artgan.painting import plan


def names(folder: Path, **options: bool) -> tuple[list[str], dict[str, str]]:
    """The pictures of a plan, and the reasons by name of what is passed over."""
    found = plan([folder], tag="m", **options)
    return [job.input.name for job in found if job.error is None], {p.path.name: p.why for p in found.passed_over}


def test_every_file_of_a_folder_is_painted_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_installed", lambda module: module not in ("av", "cv2"))
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures = dict(whole())
    for name, data in {**pictures, **FOREIGN}.items():
        (folder / name).write_bytes(data)
    found, passed_over = names(folder)
    assert sorted(found) == sorted(pictures)
    assert set(passed_over) == set(FOREIGN)
    video = 'a video; artgan paint paints it: pip install "artgan[video]"'
    raw = "a camera raw file; export it as JPEG or PNG"
    assert Counter(passed_over.values()) == {
        video: 4,
        raw: 3,
        "a Photoshop file; export it as JPEG or PNG": 1,
        "a drawing; export it as JPEG or PNG": 1,
        "a PDF document; export it as JPEG or PNG": 1,
        "a TGA file; export it as JPEG or PNG": 1,
        "not a picture": 3,
    }


def test_with_the_extra_films_are_painted(tmp_path: Path) -> None:
    for name in ("clip.mov", "clip.mkv", "clip.avi"):
        (tmp_path / name).write_bytes(FOREIGN[name])
    jobs = plan([tmp_path], tmp_path / "out", tag="m")
    assert [job.output.name for job in jobs if job.output] == ["clip.mp4", "clip.mkv", "clip.mov"]
    assert not jobs.passed_over


def test_hidden_names_sub_folders_and_the_output_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("a.jpg", ".b.jpg", "._c.jpg", "sub/d.jpg", ".git/e.jpg", "photos-m/f.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_bytes(ramp(), "JPEG"))
    hidden = dict.fromkeys((".b.jpg", "._c.jpg", ".git"), "hidden or metadata")
    found, passed_over = names(folder)
    assert found == ["a.jpg"]
    deeper = "sub-folder, read with --recursive only"
    assert passed_over == {**hidden, "sub": deeper, "photos-m": deeper}
    result = plan([folder], folder / "photos-m", tag="m", recursive=True)
    assert [job.input.name for job in result] == ["a.jpg", "d.jpg"]
    assert {p.path.name: p.why for p in result.passed_over} == {**hidden, "photos-m": "the folder of the paintings"}


def test_paintings_beside_their_photos_are_not_painted_again(tmp_path: Path) -> None:
    for name in ("lake.HEIC", "lake-m.png", "wood.jpg", "wood-other.jpg", "alone-m.jpg", "-m.png"):
        (tmp_path / name).write_bytes(file_bytes(ramp(), "PNG"))
    found, passed_over = names(tmp_path)
    assert found == ["-m.png", "alone-m.jpg", "lake.HEIC", "wood-other.jpg", "wood.jpg"]
    assert passed_over == {"lake-m.png": "painted from the lake beside it, by its name"}


def test_what_needs_an_extra_is_passed_over_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jxl").write_bytes(file_bytes(ramp(), "JXL"))
    (tmp_path / "b").write_bytes(file_bytes(ramp(), "JXL"))
    (tmp_path / "c.jxl").write_bytes(file_bytes(ramp(), "JPEG"))  # needs nothing
    assert names(tmp_path) == (["a.jxl", "b", "c.jxl"], {})
    monkeypatch.setattr(formats, "_installed", lambda module: module != "pillow_jxl")
    why = 'JXL picture; pip install "artgan[jxl]"'
    assert names(tmp_path) == (["c.jxl"], {"a.jxl": why, "b": why})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.jpg").write_bytes(file_bytes(ramp(), "JPEG"))
    assert names(tmp_path) == (["a.jpg"], {"pipe": "not a picture"})


@pytest.mark.parametrize(
    ("name", "format_", "output"),
    [
        ("a.HEIC", "HEIF", "a-m.HEIC"),
        ("a.heic", "JPEG", "a-m.heic"),
        ("a.gif", "GIF", "a-m.gif"),
        ("a.jp2", "JPEG2000", "a-m.png"),
        ("a.mpo", "JPEG", "a-m.jpg"),
        ("a.txt", "PNG", "a-m.png"),
        ("a", "WEBP", "a-m.webp"),
        ("IMG.0001", "JPEG", "IMG.0001-m.jpg"),
        ("v1.2 by night", "JPEG", "v1.2 by night-m.jpg"),
    ],
)
def test_names_of_paintings(tmp_path: Path, name: str, format_: str, output: str) -> None:
    (tmp_path / name).write_bytes(file_bytes(ramp(), format_))
    [job] = plan([tmp_path / name], tag="m")
    assert job.output == tmp_path / output


@pytest.mark.parametrize("name", ["out.tga", "out.psd", "out.jp2", "v1.2"])
def test_an_output_that_cannot_be_written_is_an_error_of_the_call(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(file_bytes(ramp(), "JPEG"))
    with pytest.raises(ArtganError, match=rf"known: .*\.heic.*\.jpg.*; for a folder of this name, write .*{name}/$"):
        plan([tmp_path / "a.jpg"], tmp_path / name, tag="m")
    for folder in (f"{tmp_path / name}/", tmp_path / name):  # the second time, it exists
        [job] = plan([tmp_path / "a.jpg"], folder, tag="m")
        assert job.output == tmp_path / name / "a.jpg"


def test_an_output_that_needs_an_extra_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(file_bytes(ramp(), "JPEG"))
    monkeypatch.setattr(formats, "_installed", lambda module: module != "pillow_jxl")
    with pytest.raises(ArtganError, match=r'pip install "artgan\[jxl\]"'):
        plan([tmp_path / "a.jpg"], tmp_path / "out.jxl", tag="m")


def test_a_painting_that_exists_names_the_options(tmp_path: Path) -> None:
    for name in ("a.jpg", "a-m.jpg"):
        (tmp_path / name).write_bytes(file_bytes(ramp(), "JPEG"))
    [job] = plan([tmp_path / "a.jpg"], tag="m")
    assert job.error is not None
    assert "--overwrite or --skip-existing" in job.error
