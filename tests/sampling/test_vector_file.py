"""Files of vectors: what is written is read, and anything else is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artgan.errors import ConfigError, PictureError
from artgan.sampling.vector_file import read_vector, write_vector


def test_a_vector_comes_back_to_the_bit(tmp_path: Path) -> None:
    vector = torch.randn(100, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "vector.json"
    write_vector(path, vector, model="dcgan.monet", digest="abc")
    assert torch.equal(read_vector(path, size=100, digest="abc"), vector)
    with pytest.raises(PictureError, match="exists already"):
        write_vector(path, vector, model="dcgan.monet", digest="abc")


def about(**changed: Any) -> str:
    return json.dumps({"format": 1, "model": "x.y", "weights": "abc", "vector": [1.0, 2.0], **changed})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 10_000, "is not JSON"),
        ("[]", "is not a vector file"),
        (about(format=2), "is not a vector file of this version"),
        (about(vector="1, 2"), "is not a vector file"),
        (about(weights="abd"), "was found for different weights, those of x.y"),
        (about(weights="abd", model="\u001b[2J"), r"those of \\x1b\[2J"),
        (about(vector=[1.0]), "has 1 numbers, where the model's vectors have 2"),
        (about(vector=[1.0, float("nan")]), "must hold finite numbers"),
        (about(vector=[1.0, float("inf")]), "must hold finite numbers"),
        (about(vector=[1.0, 1e7]), "of at most 1e"),
        (about(vector=[1.0, 10**400]), "must hold finite numbers"),
        (about(vector=[1.0, True]), "must hold finite numbers"),
        (about(vector=[1.0, None]), "must hold finite numbers"),
        (about(model=" " * 2**20), "is larger than 1048576 bytes"),
    ],
)
def test_what_is_no_vector_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "vector.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told) as refused:
        read_vector(path, size=2, digest="abc")
    assert "\n" not in str(refused.value)


def test_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_vector(path, size=2, digest="abc")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ABOUT = st.fixed_dictionaries({"format": st.just(1), "weights": st.just("abc"), "vector": st.lists(JSON, max_size=3)})


@settings(max_examples=50)
@given(st.binary(max_size=100) | (JSON | ABOUT).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_two_finite_numbers_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    try:
        vector = read_vector(path, size=2, digest="abc")
    except ConfigError:
        return
    assert vector.shape == (2,)
    assert bool(vector.isfinite().all())
