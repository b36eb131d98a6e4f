"""How fast sets of pictures are checked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.data import DATA

from artgan.data import PictureFolder
from artgan.data.verify import verify


def test_verify_against_only_decoding(compare: Callable[..., None]) -> None:
    if not (DATA / "photo").is_dir():
        pytest.skip(f"no photographs in {DATA / 'photo'}")
    pictures = PictureFolder(DATA / "photo")

    def decode() -> None:
        for index in range(len(pictures)):
            pictures[index]

    compare(
        lambda: verify(pictures),
        decode,
        names=(f"verify, {len(pictures):,} pictures", "decoding them in a plain loop"),
        rounds=3,
    )
