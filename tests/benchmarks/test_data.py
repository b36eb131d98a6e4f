"""How fast sets of pictures are checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from artgan.data import PictureFolder
from artgan.data.verify import verify

DATA = Path(os.environ.get("ARTGAN_DATA", Path(__file__).parents[3] / "shared" / "data"))


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
