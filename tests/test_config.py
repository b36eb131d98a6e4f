"""Configurations: strict, and each fault names what and where."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from artgan.config import option, parse, to_dict
from artgan.errors import ConfigError


@dataclass(frozen=True)
class Config:
    width: int = option(64, "channels", least=1, most=512)
    rate: float = option(0.1, "learning rate", above=0)
    kind: str = option("a", "which", choices=("a", "b"))
    fast: bool = option(False, "hurry")
    size: int | None = option(None, "limit")
    styles: tuple[str, ...] = option((), "pictures")

    def __post_init__(self) -> None:
        if self.fast and self.kind == "b":
            raise ValueError("b cannot be fast")


def test_round_trip_and_defaults() -> None:
    config = parse(Config, {"width": 3, "rate": 2}, where="x")
    assert config == Config(width=3, rate=2.0)
    assert isinstance(config.rate, float)
    assert parse(Config, to_dict(config), where="x") == config


def test_several_texts_are_given_as_one_or_as_a_list_and_written_as_a_list() -> None:
    for value, styles in (
        ("a.jpg", ("a.jpg",)),
        (Path("b/a.jpg"), (str(Path("b/a.jpg")),)),
        (["a.jpg:0.3", Path("b.jpg")], ("a.jpg:0.3", "b.jpg")),
        ((), ()),
    ):
        config = parse(Config, {"styles": value}, where="x")
        assert config.styles == styles
        for written in (json.loads(json.dumps(to_dict(config))), yaml.safe_load(yaml.safe_dump(to_dict(config)))):
            assert written["styles"] == list(styles)
            assert parse(Config, written, where="x") == config


def test_a_path_is_a_text() -> None:
    assert parse(Config, {"kind": Path("b")}, where="x").kind == "b"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"wdith": 3}, "unknown option 'wdith'; did you mean 'width'"),
        ({3: 3}, "unknown option 3"),
        ({"width": "3"}, "width: must be a whole number, not '3'"),
        ({"width": 3.0}, "width: must be a whole number"),
        ({"width": True}, "width: must be a whole number"),
        ({"width": None}, "width: must be a whole number"),
        ({"width": 0}, "width: must be at least 1"),
        ({"width": 513}, "width: must be at most 512"),
        ({"rate": 0}, "rate: must be greater than 0"),
        ({"rate": float("nan")}, "rate: must be finite"),
        ({"rate": float("inf")}, "rate: must be finite"),
        ({"kind": "c"}, "kind: must be one of a, b"),
        ({"fast": 1}, "fast: must be true or false"),
        ({"fast": True, "kind": "b"}, "b cannot be fast"),
        ({"styles": 3}, "styles: must be a text, not 3"),
        ({"styles": ["a", None]}, "styles: must be a text, not None"),
        ({"styles": {"a": 1}}, "styles: must be a text"),
        ({"rate": 10**400}, "rate: is too large a number"),
        ({"width": 10**5000}, "width: is too large a number"),
        ([], "must be a mapping"),
    ],
)
def test_faults_are_named(values: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Config, values, where="run.yaml: config")
    assert str(caught.value).startswith("run.yaml: config")
    assert told in str(caught.value)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(["width", "rate", "kind", "fast", "size", "x"]), plain))
def test_anything_is_taken_as_it_is_or_refused(values: dict[str, Any]) -> None:
    try:
        config = parse(Config, values, where="x")
    except ConfigError:
        return
    assert all(to_dict(config)[key] == value for key, value in values.items())
