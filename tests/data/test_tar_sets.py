"""Tar sets: which files a location names."""

from __future__ import annotations

from pathlib import Path

import pytest

from artgan.data.tar_sets import TarFiles, TarTarget
from artgan.errors import PictureError


def test_tar_files_are_named_as_webdataset_names_them(tmp_path: Path) -> None:
    assert TarFiles.of("x/p-{008..011}.tar").names() == ["p-008.tar", "p-009.tar", "p-010.tar", "p-011.tar"]
    for name in ("b.tar", "a.tar", "c.tgz"):
        (tmp_path / name).touch()
    assert TarFiles.of(f"{tmp_path}/*.tar").names() == ["a.tar", "b.tar"]
    with pytest.raises(PictureError, match=r"none-\*.tar: no such tar files"):
        TarFiles.of(f"{tmp_path}/none-*.tar").names()
    with pytest.raises(PictureError, match=r"none\.tar: no such file"):
        TarFiles.of(f"{tmp_path}/none.tar").names()
    assert TarTarget.of("x/m-%04d.tar").name(12) == "m-0012.tar"
    assert TarTarget.of("x/m.tar").name(12) == "m-000012.tar"
