r"""What paths of Windows become, by its rules wherever the tests run: drives, backslashes, reserved names."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from PIL import Image

import artgan
from artgan import files, images
from artgan.cli.paint import _tag
from artgan.data import _ARCHIVE, open_pictures
from artgan.errors import ArtganError, PictureError, PluginError
from artgan.files import refused_by_windows
from artgan.models.folder import names_a_folder
from artgan.testing.scaffold import write_plugin


@pytest.mark.parametrize("folder", [r"C:\models\monet", "C:/models/monet", r"\\server\share\monet", r"..\monet"])
def test_a_local_dir_keeps_its_drive(folder: str) -> None:
    """The prefix ends at the first colon; the message names the whole folder."""
    with pytest.raises(ArtganError) as caught:
        artgan.load(f"local-dir:{folder}")
    assert folder in str(caught.value)
    assert "no such folder" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "windows", "posix"),
    [
        (r"C:\models\monet", True, False),
        ("C:/models/monet", True, False),
        (r"\\server\share\monet", True, False),
        ("/models/monet", False, True),  # on Windows it has no drive
        ("./monet", True, True),
        (r".\monet", True, True),
        ("~/monet", True, True),
        ("someone/monet", False, False),
        ("C:monet", False, False),  # relative to whatever folder is current on that drive
    ],
)
def test_a_text_is_a_folder_by_the_rules_of_the_machine(source: str, windows: bool, posix: bool) -> None:
    assert names_a_folder(source, PureWindowsPath) == windows
    assert names_a_folder(source, PurePosixPath) == posix


def test_a_path_without_its_prefix_is_told_both_prefixed_forms() -> None:
    with pytest.raises(ArtganError) as caught:
        artgan.load(r"C:\models\monet")
    assert "local-dir:" in str(caught.value)
    assert "hf-hub:" in str(caught.value)


@pytest.mark.parametrize(
    "model", [r"local-dir:C:\runs\seurat", "local-dir:C:/runs/seurat", r"local-dir:runs\seurat\\", "pointillism.seurat"]
)
def test_paintings_are_named_after_the_last_part_of_a_folder(model: str) -> None:
    assert _tag(model) == "seurat"
    assert not PureWindowsPath(f"photo-{_tag(model)}.jpg").is_reserved()


@pytest.mark.parametrize(
    ("location", "path", "folder"),
    [
        (r"C:\sets\monet.zip", r"C:\sets\monet.zip", None),
        (r"C:\sets\monet.zip:trainA", r"C:\sets\monet.zip", "trainA"),
        ("C:/sets/monet.tar.gz:trainA/more", "C:/sets/monet.tar.gz", "trainA/more"),
    ],
)
def test_the_drive_of_an_archive_is_no_folder_in_it(location: str, path: str, folder: str | None) -> None:
    found = _ARCHIVE.fullmatch(location)
    assert found is not None
    assert (found["path"], found["folder"]) == (path, folder)


def archive_of(name: str, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name  # the constructor would normalize it
        archive.writestr(info, b"?")
    return folder / "set.zip"


def test_members_that_lead_out_on_windows_are_passed_over_everywhere(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"no pictures in it; passed over: 1 member that leads out of the archive"):
        open_pictures(archive_of(r"..\..\x.png", tmp_path))


@pytest.mark.parametrize("name", [r"C:\x.png", "C:/x.png", "c:x.png", r"\x.png", "a:x.png"])
def test_members_with_a_root_are_read_without_it(name: str, tmp_path: Path) -> None:
    assert open_pictures(archive_of(name, tmp_path)).names == ["x.png"]


@pytest.mark.parametrize("name", ["con", "nul", "aux", "com1"])
def test_a_plugin_of_a_reserved_name_has_no_reserved_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        folder = write_plugin(name)
    except PluginError:
        return  # refused is well too
    assert not [p for p in folder.rglob("*") if PureWindowsPath(p.name).is_reserved()]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *(
            (name, "reserves this name for a device")
            for name in ("CON", "nul.txt", "aux.tar.gz", "com1.png", "LPT¹.png")
        ),
        ("con .png", "reserves this name for a device"),
        ("CONIN$", "reserves this name for a device"),
        ("ab:c.png", "does not allow ':'"),
        ("what?.png", "does not allow '?'"),
        ("a\tb.png", r"does not allow '\t'"),
        ("monet. .", "drops dots and spaces"),
        ("monet ", "drops dots and spaces"),
    ],
)
def test_names_that_windows_cannot_keep(name: str, reason: str) -> None:
    assert reason in (refused_by_windows(PurePosixPath("/paintings", name)) or "")


@pytest.mark.parametrize(
    "path", [r"C:\con\x.png", "console.png", "com.png", "com10.png", "null.png", "a b.png", ".x", "é.png"]
)
def test_names_that_windows_keeps(path: str) -> None:
    assert refused_by_windows(PureWindowsPath(path)) is None


def test_on_windows_no_painting_is_lost_in_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "refused_here", refused_by_windows)
    for name in ("con.png", "ab:c.png"):
        with pytest.raises(PictureError, match="cannot be the name of a file: Windows"):
            images.encode(Image.new("RGB", (8, 8)), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["CON", "nul.txt", "con.png", "aux/1.png", "a./2.png"])
def test_members_of_reserved_names_are_read_in_place(name: str, tmp_path: Path) -> None:
    """Members are never written under their names; those that are no pictures are passed over."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for member in ("1.png", name):
            images.encode(Image.new("RGB", (8, 6)), tmp_path / "x.png", overwrite=True)
            archive.write(tmp_path / "x.png", member)
    (tmp_path / "x.png").unlink()
    pictures = open_pictures(tmp_path / "set.zip")
    assert set(pictures.names) == {"1.png", name} - {"CON", "nul.txt"}
    assert all(picture.size == (8, 6) for picture in pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


@pytest.mark.parametrize("key", ["bundled", "file"])
@pytest.mark.parametrize(
    ("inside", "allowed"),
    [
        ("weights/monet.safetensors", True),
        ("v1.0/monet-2.safetensors", True),
        ("C:/x.safetensors", False),
        ("C:x.safetensors", False),
        ("a/x.safetensors:y.safetensors", False),
        (r"..\x.safetensors", False),
        (".. /x.safetensors", False),  # Windows drops the space
        ("a/.../x.safetensors", False),
    ],
)
def test_a_registry_names_no_file_outside(key: str, inside: str, allowed: bool) -> None:
    """Weights that do not match are removed from the cache, so a path must not lead to other files."""
    schema = Path(artgan.__file__).parent / "models" / "registry.schema.json"
    weights = json.loads(schema.read_text("utf-8"))["$defs"]["weights"]["properties"]
    pattern = weights["bundled"]["pattern"] if key == "bundled" else weights["hub"]["properties"]["file"]["pattern"]
    name = f"artgan_ink/{inside}" if key == "bundled" else inside
    assert bool(re.search(pattern, name)) is allowed
    if allowed:
        assert (PureWindowsPath("C:/cache") / name).is_relative_to("C:/cache")
