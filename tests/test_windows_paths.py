r"""What paths of Windows become, by its rules wherever the tests run: drives, backslashes, reserved names."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

import artgan
from artgan.cli.paint import _tag
from artgan.data import _ARCHIVE, open_pictures
from artgan.errors import ArtganError, PictureError, PluginError
from artgan.models.folder import names_a_folder
from artgan.scaffold import write_plugin


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


@pytest.mark.parametrize("name", [r"..\..\x.png", r"C:\x.png", "C:/x.png", "c:x.png", r"\x.png", "a:b.png"])
def test_members_that_lead_out_on_windows_are_refused_everywhere(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name  # the constructor would normalize it
        archive.writestr(info, b"?")
    with pytest.raises(PictureError, match="leads out of the archive"):
        open_pictures(tmp_path / "set.zip")


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
