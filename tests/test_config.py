"""Configurations: strict, and each fault names what and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
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

    def __post_init__(self) -> None:
        if self.fast and self.kind == "b":
            raise ValueError("b cannot be fast")


def test_round_trip_and_defaults() -> None:
    config = parse(Config, {"width": 3, "rate": 2}, where="x")
    assert config == Config(width=3, rate=2.0)
    assert isinstance(config.rate, float)
    assert parse(Config, to_dict(config), where="x") == config


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
