"""Registry files: read strictly, merged without surprises, and never a crash whatever they hold."""

from __future__ import annotations

import copy
import datetime
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from huggingface_hub.utils import validate_repo_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

from artgan.errors import ModelNotFoundError, RegistryError
from artgan.models import registry
from artgan.models.entry import Entry, HubFile, Registry, Weights
from artgan.models.registry import read_registry, user_file
from artgan.models.registry_file import read_file

Install = Callable[..., Any]

REMOVE = object()
MODEL = "ink.wash"


def model(**more: Any) -> dict[str, Any]:
    """A valid model with every key; ``more`` replaces some."""
    return {
        "plugin": "ink",
        "distribution": "artgan-ink",
        "alias": "wash",
        "summary": "Ink on wet paper",
        "config": {"width": 4, "skip": True},
        "license": {"weights": "CC0-1.0"},
        "training": {"steps": 10},
        "metrics": [{"name": "fd-vgg19", "value": 1.5, "n": 10}],
        "check": {"mean": 0.5},
        "weights": {
            "bundled": "artgan_ink/weights/wash.safetensors",
            "hub": {"repo_id": "some-org/ink", "revision": "0" * 40, "file": "wash.safetensors"},
            "sha256": "a" * 64,
            "size": 1000,
        },
        **more,
    }


def document(**models: Any) -> dict[str, Any]:
    """A registry of those models, "." in their names written as "__"."""
    return {"schema": 1, "models": {name.replace("__", "."): fields for name, fields in models.items()}}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def changed(keys: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The valid document with one value replaced, added or removed."""
    result = copy.deepcopy(document(ink__wash=model()))
    inner: Any = result
    for key in keys[:-1]:
        inner = inner[key]
    if value is REMOVE:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return result


def refusal(path: Path, content: Any) -> str:
    with pytest.raises(RegistryError) as caught:
        read_file(write(path, content))
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """artgan's own registry, in place of the repository's: one model, ink.wash."""
    path = write(tmp_path / "own" / "registry.yaml", document(ink__wash=model()))
    monkeypatch.setattr(registry, "_own_file", lambda: path)
    read_registry.cache_clear()
    return path


# Reading one file


def test_a_valid_document_gives_its_entries(tmp_path: Path) -> None:
    entries = read_file(write(tmp_path / "r.yaml", document(ink__wash=model(), ink__dry=model(alias="dry")))).entries
    assert list(entries) == ["ink.dry", "ink.wash"]  # as yaml.safe_dump sorts them
    entry = entries[MODEL]
    assert entry == Entry(
        MODEL,
        "ink",
        "artgan-ink",
        Weights(
            "a" * 64,
            1000,
            "artgan_ink/weights/wash.safetensors",
            HubFile("some-org/ink", "0" * 40, "wash.safetensors"),
        ),
        alias="wash",
        summary="Ink on wet paper",
        config={"width": 4, "skip": True},
        license={"weights": "CC0-1.0"},
        training={"steps": 10},
        metrics=({"name": "fd-vgg19", "value": 1.5, "n": 10},),
        check={"mean": 0.5},
    )
    assert entry.to_dict()["weights"]["hub"]["repo_id"] == "some-org/ink"
    assert entry.to_dict()["metrics"] == [{"name": "fd-vgg19", "value": 1.5, "n": 10}]


def test_only_what_is_needed_must_be_there(tmp_path: Path) -> None:
    small = {"plugin": "ink", "distribution": "ink-paints"}
    entry = read_file(write(tmp_path / "r.yaml", document(ink__wash=small))).entries[MODEL]
    assert (entry.alias, entry.summary, entry.config, entry.metrics) == (None, "", {}, ())
    assert entry.weights is None
    weights = {"bundled": "artgan_ink/w.safetensors", "sha256": "b" * 64, "size": 1}
    entry = read_file(write(tmp_path / "r.yaml", document(ink__wash={**small, "weights": weights}))).entries[MODEL]
    assert entry.weights == Weights("b" * 64, 1, "artgan_ink/w.safetensors")
    assert read_file(write(tmp_path / "empty.yaml", {"schema": 1, "models": {}})).entries == {}


def test_the_install_command_knows_the_extras_of_artgan() -> None:
    weights = Weights("a" * 64, 1, "p/w")
    assert Entry(MODEL, "ink", "artgan-ink", weights).install_command() == 'pip install "artgan[ink]"'
    assert Entry(MODEL, "ink", "ink-paints", weights).install_command() == "pip install ink-paints"


FAULTS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("plugin",), REMOVE, "plugin: is missing"),
    (("plugin",), "oil", "plugin: is 'oil'"),
    (("plugin",), 3, "plugin: must be a text"),
    (("distribution",), REMOVE, "distribution: is missing"),
    (("distribution",), "x; rm -rf ~", "distribution: must be like"),
    (("distribution",), "--index-url", "distribution: must be like"),
    (("alias",), "Wash", "alias: must be like"),
    (("alias",), "ink.wash", "alias: must be like"),
    (("alias",), None, "alias: must be a text, not empty"),
    (("summary",), ["a"], "summary: must be a text, not a list"),
    (("config",), "width", "config: must be a mapping"),
    (("license",), [], "license: must be a mapping"),
    (("training",), 3, "training: must be a mapping"),
    (("check",), 3.5, "check: must be a mapping"),
    (("metrics",), {}, "metrics: must be a list"),
    (("metrics",), ["fd"], "metrics[0]: must be a mapping"),
    (("metrics",), [{"value": 1}], "metrics[0]: name: is missing"),
    (("metrics",), [{"name": "fd", "value": 1}, {"name": "kd", "value": "low"}], "metrics[1]: value: must be"),
    (("metrics",), [{"name": "fd", "value": True}], "metrics[0]: value: must be"),
    (("task",), "text-to-image", "task: must be image-to-image or noise-to-image, not 'text-to-image'"),
    (("summary",), 2**62, "summary: must be a text, not a whole number"),
    (("config",), {"until": datetime.date(2026, 1, 1)}, "config: until: must be a text, a number, true"),
    (("config",), {"deep": [1, {"set": {1, 2}}]}, "config: deep[1]: set: must be a text, a number"),
    (("config",), {3: 4}, "config: 3: a key must be a text"),
    (("license",), {"weights": True}, "license: weights: must be a text, not true or false"),
    (("metrics",), [{"name": "fd", "value": 1, "n": b"10"}], "metrics[0]: n: must be a text, a number"),
    (("color",), "red", "color: unknown key"),
    (("a\nb",), "red", "'a\\nb': unknown key"),
    (("x" * 500,), "red", f"{'x' * 77}...: unknown key"),
    (("weights",), None, "weights: must be a mapping, not empty"),
    (("weights", "extra"), 1, "weights: extra: unknown key"),
    (("weights", "size"), REMOVE, "weights: size: is missing"),
    (("weights", "size"), 0, "weights: size: must be 1 to"),
    (("weights", "size"), -5, "weights: size: must be 1 to"),
    (("weights", "size"), 2**33, "weights: size: must be 1 to"),
    (("weights", "size"), 10.0, "weights: size: must be a whole number"),
    (("weights", "size"), True, "weights: size: must be a whole number"),
    (("weights", "sha256"), REMOVE, "weights: sha256: is missing"),
    (("weights", "sha256"), "A" * 64, "weights: sha256: must be 64 lower-case hex digits"),
    (("weights", "sha256"), "a" * 63, "weights: sha256: must be 64 lower-case hex digits"),
    (("weights", "sha256"), "a" * 64 + "\n", "weights: sha256: must be 64 lower-case hex digits"),
    (("weights", "bundled"), 3, "weights: bundled: must be a text"),
    (("weights", "bundled"), "", "weights: bundled: must be package/"),
    (("weights", "bundled"), "/etc/passwd", "weights: bundled: must be package/"),
    (("weights", "bundled"), "artgan_ink/../secret.safetensors", "weights: bundled: must be package/"),
    (("weights", "bundled"), "../artgan_ink/w.safetensors", "weights: bundled: must be package/"),
    (("weights", "bundled"), "artgan_ink\\w.safetensors", "weights: bundled: must be package/"),
    (("weights", "bundled"), "artgan_ink/w\0.safetensors", "weights: bundled: must be package/"),
    (("weights", "bundled"), "w.safetensors", "weights: bundled: must be package/"),
    (("weights", "bundled"), "artgan_ink/w.pt", "weights: bundled: must be package/path/in/it.safetensors, not"),
    (("weights", "bundled"), "artgan_ink/w.safetensors\n", "weights: bundled: must be package/"),
    (("weights", "hub", "file"), "pytorch_model.bin", "weights: hub: file: must be path/in/the/repository.safetensors"),
    (("weights", "hub", "file"), "w.safetensors/../w.pkl", "weights: hub: file: must be path/in/the/repository"),
    (("weights", "hub", "file"), "a\\b.safetensors", "weights: hub: file: must be path/in/the/repository"),
    (("weights", "hub", "repo_id"), "some--org/ink", "weights: hub: repo_id: must be like"),
    (("weights", "hub", "repo_id"), "some-org/ink\n", "weights: hub: repo_id: must be like"),
    (("weights", "hub", "revision"), "A" * 40, "weights: hub: revision: must be a commit of 40 hex digits"),
    (("weights", "hub", "revision"), "a" * 39, "weights: hub: revision: must be a commit of 40 hex digits"),
    (("weights", "hub"), "some-org/ink", "weights: hub: must be a mapping"),
    (("weights", "hub", "repo_id"), "ink", "weights: hub: repo_id: must be like"),
    (("weights", "hub", "repo_id"), "../../ink", "weights: hub: repo_id: must be like"),
    (("weights", "hub", "revision"), "main", "weights: hub: revision: must be a commit of 40 hex digits"),
    (("weights", "hub", "file"), REMOVE, "weights: hub: file: is missing"),
    (("weights", "hub", "token"), "x", "weights: hub: token: unknown key"),
]


@pytest.mark.parametrize(("keys", "value", "told"), FAULTS)
def test_a_fault_is_told_with_file_model_and_key(tmp_path: Path, keys: tuple[Any, ...], value: Any, told: str) -> None:
    path = tmp_path / "r.yaml"
    message = refusal(path, changed(("models", MODEL, *keys), value))
    assert message.startswith(f"{path}: {MODEL}: {told}")
    assert message.isprintable()  # and so on one line


def test_the_first_fault_in_the_file_is_told(tmp_path: Path) -> None:
    models = [f"  ink.m{n}: {{plugin: ink}}\n" for n in range(9, 0, -1)]
    for _ in range(3):
        told = refusal(tmp_path / "r.yaml", "schema: 1\nmodels:\n" + "".join(models))
        assert "ink.m9: distribution: is missing" in told


def test_weights_must_be_somewhere(tmp_path: Path) -> None:
    weights = {"sha256": "a" * 64, "size": 1}
    assert f"{MODEL}: weights: needs bundled or hub" in refusal(
        tmp_path / "r.yaml", document(ink__wash=model(weights=weights))
    )


@pytest.mark.parametrize("package", [".", "artgan_not_there.sub", "with space"])
def test_bundled_must_start_with_the_plain_name_of_a_package(tmp_path: Path, package: str) -> None:
    path = f"{package}/weights/w.safetensors" if package != "." else "./a/w.safetensors"
    assert "bundled" in refusal(tmp_path / "r.yaml", changed(("models", MODEL, "weights", "bundled"), path))


@pytest.mark.parametrize("file", ["../../w.safetensors", "/etc/passwd"])
def test_a_file_of_the_hub_stays_in_its_repository(tmp_path: Path, file: str) -> None:
    assert "file" in refusal(tmp_path / "r.yaml", changed(("models", MODEL, "weights", "hub", "file"), file))


@pytest.mark.parametrize("name", ["wash", "Ink.wash", "ink.", ".wash", "ink/wash", "ink.Wash", 3, None, "ink.wa sh"])
def test_a_bad_name_of_a_model_is_refused(tmp_path: Path, name: Any) -> None:
    told = refusal(tmp_path / "r.yaml", {"schema": 1, "models": {name: model()}})
    assert f"{name}: a model's name is plugin.tag" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "must be a mapping, not empty"),
        ("- 1\n", "must be a mapping, not a list"),
        ({"models": {}}, "schema: is missing"),
        ({"schema": 2, "models": {}}, "schema: this artgan reads schema 1; upgrade artgan"),
        ({"schema": "1", "models": {}}, "schema: must be a whole number, not a text"),
        ({"schema": True, "models": {}}, "schema: must be a whole number"),
        ({"schema": 1}, "models: is missing"),
        ({"schema": 1, "models": []}, "models: must be a mapping, not a list"),
        ({"schema": 1, "models": {}, "extra": 1}, "extra: unknown key"),
        ({"schema": 1, "models": {MODEL: None}}, f"{MODEL}: must be a mapping, not empty"),
        ({"schema": 2, "models": {MODEL: None}, "extra": 1}, "schema: this artgan reads schema 1"),
        ({"schema": 1, "models": {}, "deprecated": []}, "deprecated: must be a mapping, not a list"),
        ({"schema": 1, "models": {}, "deprecated": {"Old": {}}}, "deprecated: Old: an old name is"),
        ({"schema": 1, "models": {}, "deprecated": {"old": {"use": "a.b"}}}, "deprecated: old: removed_in: is missing"),
        (
            {"schema": 1, "models": {}, "deprecated": {"old": {"use": "a.b", "removed_in": "soon"}}},
            "deprecated: old: removed_in: must be a version like 0.3",
        ),
        ("schema: [1", "not valid YAML"),
        ("schema: 1\nmodels: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("? [a, b]\n: 1\n", "not valid YAML"),
        ("schema: 2024-99-99\n", "not valid YAML"),
        ("[" * 300, "not valid YAML"),
        ("schema: 1\nmodels: &all {ink.wash: {config: *all}}\n", "aliases (*name) are not supported"),
        ("schema: 1\nmodels: {ink.wash: {config: {x: .nan}}}\n", "a number is too large"),
        ("schema: 1\nmodels: {ink.wash: {config: {x: -.inf}}}\n", "a number is too large"),
        (f"schema: 0x{'f' * 5000}\nmodels: {{}}\n", "a number is too large"),
    ],
)
def test_a_fault_at_the_top_is_told_with_the_file(tmp_path: Path, content: Any, told: str) -> None:
    assert told in refusal(tmp_path / "r.yaml", content)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("schema: 1\nschema: 1\nmodels: {}\n", "schema"),
        ("schema: 1\nmodels:\n  ink.wash: {}\n  ink.wash: {}\n", "ink.wash"),
        ("schema: 1\nmodels: {ink.wash: {config: {width: 1, skip: true, width: 2}}}\n", "width"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, content: str, key: str) -> None:
    assert f"{key!r} is there twice" in refusal(tmp_path / "r.yaml", content)


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    with path.open("wb") as file:
        file.truncate(5 * 2**20)
    with pytest.raises(RegistryError, match=r"r\.yaml: larger than 4 MiB"):
        read_file(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(RegistryError, match="/dev/zero: larger than 4 MiB"):
        read_file(Path("/dev/zero"))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"absent\.yaml: cannot be read"):
        read_file(tmp_path / "absent.yaml")
    with pytest.raises(RegistryError, match="cannot be read"):
        read_file(tmp_path)
    (tmp_path / "r.yaml").write_bytes(b"schema: \xff\xfe\n")
    with pytest.raises(RegistryError, match=r"r\.yaml: .*utf-8"):
        read_file(tmp_path / "r.yaml")


def test_an_alias_used_twice_is_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path / "r.yaml", document(ink__dry=model(), ink__wash=model()))
    assert "ink.wash: alias 'wash' is ink.dry's already" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    "depth",
    [
        depth if depth in (50, 100, 150, 200, 400, 800) else pytest.param(depth, marks=pytest.mark.exhaustive)
        for depth in range(50, 1000, 50)
    ],
)
def test_a_deeply_nested_card_is_read_whole_or_refused(tmp_path: Path, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    text = yaml.safe_dump(document(ink__wash=model(config={"x": "HERE"}))).replace("HERE", nested)
    try:
        entries = read_file(write(tmp_path / "r.yaml", text)).entries
    except RegistryError:
        assert depth > 100
    else:
        assert json.dumps(entries[MODEL].to_dict()["config"]["x"]) == nested


CRASHERS = {
    "a list as a mapping": "schema: 1\nmodels: !!map [a]\n",
    "a list as a set": "schema: 1\nmodels: !!set [a]\n",
    "an empty int": "schema: !!int ''\n",
    "a text as a bool": "schema: !!bool maybe\n",
    "a text as a time": "schema: !!timestamp soon\n",
    "a float out of range": f"schema: 1:{'59:' * 300}59.5\n",
    "a key of 5000 digits": f"schema: 1\nmodels: {{}}\n0x{'f' * 5000}: 1\n",
}


@pytest.mark.parametrize("content", CRASHERS.values(), ids=CRASHERS)
def test_a_hostile_document_is_a_registry_error(tmp_path: Path, content: str) -> None:
    refusal(tmp_path / "r.yaml", content)


def test_a_size_of_thousands_of_digits_is_a_registry_error(tmp_path: Path) -> None:
    text = yaml.safe_dump(changed(("models", MODEL, "weights", "size"), 12345)).replace("12345", f"0x{'f' * 5000}")
    assert "size" in refusal(tmp_path / "r.yaml", text)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["[" * 100_000, "- " * 100_000], ids=["flow", "block"])
def test_a_document_nested_without_end_is_a_registry_error(tmp_path: Path, content: str) -> None:
    write(tmp_path / "r.yaml", content)
    code = "import pathlib; from artgan.models.registry import read_file; read_file(pathlib.Path('r.yaml'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "artgan.errors.RegistryError: r.yaml" in done.stderr


# Hypothesis: a registry error or a registry, nothing else

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.dates())
KEYS = st.one_of(st.text(max_size=8), st.integers(), st.sampled_from(["schema", "models", "weights", "plugin", MODEL]))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
PLACES: list[tuple[Any, ...]] = [
    ("schema",),
    ("models",),
    ("models", MODEL),
    *(("models", MODEL, key) for key in model()),
    *(("models", MODEL, "weights", key) for key in model()["weights"]),
    *(("models", MODEL, "weights", "hub", key) for key in model()["weights"]["hub"]),
    ("models", MODEL, "metrics", 0),
    ("models", MODEL, "metrics", 0, "value"),
]
ANY_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


def parses_or_refuses(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", errors="replace")
    try:
        entries = read_file(path).entries
    except RegistryError:
        return
    for name, entry in entries.items():
        assert isinstance(entry, Entry)
        assert entry.name == name


@pytest.mark.slow
@ANY_FILE
@given(VALUES)
def test_any_document_parses_or_is_refused(tmp_path: Path, value: Any) -> None:
    parses_or_refuses(tmp_path / "r.yaml", yaml.safe_dump(value, allow_unicode=True))


@pytest.mark.slow
@ANY_FILE
@given(st.sampled_from(PLACES), VALUES | st.just(REMOVE))
def test_a_valid_document_with_one_change_parses_or_is_refused(
    tmp_path: Path, place: tuple[Any, ...], value: Any
) -> None:
    parses_or_refuses(tmp_path / "r.yaml", yaml.safe_dump(changed(place, value), allow_unicode=True))


@ANY_FILE
@given(st.text() | st.text(alphabet="schema:1modl{}[]&*!?|>-'\"#% \n\t,", max_size=60))
def test_any_text_parses_or_is_refused(tmp_path: Path, text: str) -> None:
    parses_or_refuses(tmp_path / "r.yaml", text)


# Hypothesis: what is malformed is refused, on one line


KEYS_OF = {
    (): {"schema", "models", "deprecated"},
    ("models", MODEL): {*model(), "task"},
    ("models", MODEL, "weights"): set(model()["weights"]),
    ("models", MODEL, "weights", "hub"): set(model()["weights"]["hub"]),
}
TEXTS = [
    *(("models", MODEL, key) for key in ("plugin", "distribution", "alias", "summary", "task")),
    *(("models", MODEL, "weights", key) for key in ("bundled", "sha256")),
    *(("models", MODEL, "weights", "hub", key) for key in ("repo_id", "revision", "file")),
]
MAPPINGS = [
    *(place for place in KEYS_OF if place),
    ("models",),
    *(("models", MODEL, key) for key in ("config", "license", "training", "check")),
    ("models", MODEL, "metrics", 0),
]
NEEDED = [
    ("schema",),
    ("models",),
    *(("models", MODEL, key) for key in ("plugin", "distribution")),
    *(("models", MODEL, "weights", key) for key in ("sha256", "size")),
    *(("models", MODEL, "weights", "hub", key) for key in ("repo_id", "revision", "file")),
    *(("models", MODEL, "metrics", 0, key) for key in ("name", "value")),
]


def hex_digits(text: str, count: int) -> bool:
    return len(text) == count and set(text) <= set("0123456789abcdef")


def put(place: Any, value: Any) -> st.SearchStrategy[dict[str, Any]]:
    """The valid document with one of the places holding one of the values."""
    return st.builds(changed, place if isinstance(place, st.SearchStrategy) else st.just(place), value)


WEIGHTS_AT, HUB_AT = ("models", MODEL, "weights"), ("models", MODEL, "weights", "hub")
MALFORMED = st.one_of(
    put(st.sampled_from(NEEDED), st.just(REMOVE)),
    put(st.sampled_from(TEXTS), VALUES.filter(lambda value: not isinstance(value, str))),
    put(st.sampled_from(MAPPINGS), VALUES.filter(lambda value: not isinstance(value, dict))),
    st.sampled_from(list(KEYS_OF)).flatmap(
        lambda place: st.builds(
            changed, KEYS.filter(lambda key: key not in KEYS_OF[place]).map(lambda key: (*place, key)), VALUES
        )
    ),
    put(("schema",), VALUES.filter(lambda value: value != 1 or isinstance(value, (bool, float)))),
    put((*WEIGHTS_AT, "size"), VALUES.filter(lambda v: type(v) is not int or not 1 <= v <= 2**32)),
    put((*WEIGHTS_AT, "sha256"), st.text("0123456789abcdefgA\n").filter(lambda text: not hex_digits(text, 64))),
    put((*HUB_AT, "revision"), st.text("0123456789abcdefgA\n").filter(lambda text: not hex_digits(text, 40))),
    put((*WEIGHTS_AT, "bundled"), st.text().filter(lambda text: not text.endswith(".safetensors"))),
    put((*HUB_AT, "file"), st.text().filter(lambda text: not text.endswith(".safetensors"))),
    put((*HUB_AT, "file"), st.text().map(lambda text: f"../{text}.safetensors")),
    put((*HUB_AT, "repo_id"), st.text().filter(lambda text: text.count("/") != 1)),
    put(("models", MODEL, "config", "x"), st.dates() | st.binary() | st.sets(st.integers()) | st.just(float("nan"))),
    put(("models", MODEL, "alias"), st.text().filter(lambda text: not text.isascii() or "." in text or not text)),
    put(
        KEYS.filter(lambda key: key != MODEL and "." not in str(key)).map(lambda key: ("models", key)), st.just(model())
    ),
    VALUES.filter(lambda value: not isinstance(value, dict)),
)


@pytest.mark.slow
def test_whatever_is_malformed_is_told_on_one_line(tmp_path: Path) -> None:
    told: dict[str, str] = {}

    @settings(max_examples=300, deadline=None)
    @given(MALFORMED)
    def refuse(content: Any) -> None:
        text = yaml.safe_dump(content, allow_unicode=True)
        path = tmp_path / "r.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        with pytest.raises(RegistryError) as caught:
            read_file(path)
        told[text] = str(caught.value)
        assert told[text].startswith(f"{path}: ")
        assert len(told[text].splitlines()) == 1
        assert len(told[text]) < len(str(path)) + 500

    refuse()
    assert len(told) >= 200


# The schema


def schema() -> Any:
    return json.loads((ROOT / "src" / "artgan" / "models" / "registry.schema.json").read_text("utf-8"))


@pytest.mark.slow
def test_the_schema_is_one_that_other_programs_can_use() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    validator.validate(yaml.safe_load((ROOT / "registry.yaml").read_text("utf-8")))
    validator.validate(document(ink__wash=model()))
    assert not validator.is_valid(changed(("models", MODEL, "weights", "hub", "revision"), "main"))


def test_the_documentation_names_every_key() -> None:
    def keys(part: Any) -> set[str]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        own = set(part.get("properties", ())) if isinstance(part, dict) else set()
        return own.union(*map(keys, inner))

    text = (ROOT / "docs" / "registry.md").read_text("utf-8")
    assert len(keys(schema())) > 20
    assert not [key for key in keys(schema()) if not re.search(rf"\b{key}\b", text)]


@pytest.mark.slow
@settings(max_examples=50)
@given(st.data())
def test_the_hub_takes_every_name_that_the_schema_takes(data: st.DataObject) -> None:
    pattern = schema()["$defs"]["weights"]["properties"]["hub"]["properties"]["repo_id"]["pattern"]
    names = st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
    validate_repo_id(data.draw(names.filter(lambda name: len(name) <= 96)))


# The registry of all files


def test_the_registry_of_the_repository_reads_without_fault() -> None:
    entries = read_file(ROOT / "registry.yaml").entries
    assert all(entry.weights is None or entry.weights.bundled or entry.weights.hub for entry in entries.values())
    assert not read_registry().problems


def test_models_of_plugins_join_without_an_import(own: Path, install_plugin: Install) -> None:
    package = install_plugin("oil", "")
    write(package / "registry.yaml", document(oil__thick=model(plugin="oil", alias="thick")))
    found = read_registry()
    assert {"ink.wash", "oil.thick"} <= set(found.names())
    assert found.entry("thick").name == "oil.thick"
    assert package.name not in sys.modules


@pytest.mark.parametrize("clash", ["name", "alias"])
def test_a_clash_of_two_plugins_is_a_problem_that_names_both_files(
    own: Path, install_plugin: Install, monkeypatch: pytest.MonkeyPatch, clash: str
) -> None:
    names = ("oil__thick", "oil__thick" if clash == "name" else "oil__thin")
    aliases = ("thick", "thin" if clash == "name" else "thick")
    paths = []
    for plugin, name, alias in zip(("oila", "oilb"), names, aliases, strict=True):
        models = document(**{name: model(plugin="oil", alias=alias)})
        paths.append(write(install_plugin(plugin, "") / "registry.yaml", models))
    found = read_registry()
    assert {MODEL, "oil.thick"} <= set(found.names())
    assert "oil.thin" not in found.names()
    assert len(found.problems) == 1
    for path in paths:
        assert str(path) in found.problems[0]
    read_registry.cache_clear()
    monkeypatch.setenv("ARTGAN_STRICT_PLUGINS", "1")
    with pytest.raises(RegistryError, match=r"oil\.thi"):
        read_registry()


def test_a_plugin_cannot_take_a_model_of_artgans_own(own: Path, install_plugin: Install) -> None:
    theirs = model(summary="Not what you asked for", alias="mine")
    path = write(install_plugin("ink", "") / "registry.yaml", document(ink__wash=theirs))
    found = read_registry()
    assert found.entry(MODEL).summary == "Ink on wet paper"
    assert str(own) in found.problems[0]
    assert str(path) in found.problems[0]


def test_a_faulty_registry_of_a_plugin_leaves_out_its_models_only(
    own: Path, install_plugin: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = document(oil__thick=model(plugin="oil", alias="thick"), oil__thin=model(plugin="wax"))
    write(install_plugin("oil", "") / "registry.yaml", bad)
    found = read_registry()
    assert MODEL in found.names()
    assert not found.names("oil.*")
    assert "oil.thin: plugin" in found.problems[0]
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", "oil")
    read_registry.cache_clear()
    assert not read_registry().problems


def test_a_fault_in_artgans_own_registry_is_an_error(own: Path) -> None:
    write(own, {"schema": 1})
    with pytest.raises(RegistryError, match="models: is missing"):
        read_registry()


def test_a_plugin_whose_package_is_not_there_is_no_fault_of_the_registry(own: Path, install_plugin: Install) -> None:
    package = install_plugin("oil", "")
    (package / "__init__.py").unlink()
    package.rmdir()
    importlib.invalidate_caches()
    found = read_registry()
    assert found.names("ink.*") == [MODEL]
    assert not found.problems


# Files of the user


@pytest.fixture
def settings_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings"


def asked_for(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    monkeypatch.setenv("ARTGAN_REGISTRY", os.pathsep.join(map(str, paths)))
    read_registry.cache_clear()


def test_a_later_file_replaces_models_and_takes_over_aliases(
    own: Path, install_plugin: Install, settings_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ink(summary: str, alias: str) -> dict[str, Any]:
        return model(summary=summary, alias=alias)

    oil = write(
        install_plugin("oil", "") / "registry.yaml",
        document(oil__thick=model(plugin="oil", alias="thick"), oil__thin=model(plugin="oil", alias="thin")),
    )
    mine = write(
        settings_folder / "artgan" / "registry.yaml",
        document(ink__wash=ink("mine", "wash"), ink__new=ink("new", "thick"), oil__thin=model(plugin="oil", alias="x")),
    )
    found = read_registry()
    assert found.problems == ()
    assert found.files == (str(own), str(oil), str(mine))
    assert (found.entry("wash").summary, found.entry("wash").source) == ("mine", str(mine))
    assert found.entry("thick").name == "ink.new"
    assert (found.entry("oil.thick").alias, found.entry("oil.thick").source) == (None, str(oil))
    with pytest.raises(ModelNotFoundError):  # went with the entry that was replaced
        found.entry("thin")

    first = write(tmp_path / "first.yaml", document(ink__wash=ink("asked for", "thick")))
    second = write(tmp_path / "second.yaml", document(ink__other=ink("other", "other")))
    asked_for(monkeypatch, first, second, first)
    found = read_registry()
    assert found.files == (str(own), str(oil), str(mine), str(first), str(second))
    assert (found.entry("thick").summary, found.entry("thick").source) == ("asked for", str(first))
    assert found.entry("ink.new").alias is None
    assert found.entry("other").source == str(second)
    assert "source" not in found.entry("other").to_dict()


@pytest.mark.parametrize("clash", ["name", "alias"])
def test_a_clash_of_two_files_that_were_asked_for_is_an_error_that_names_both(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clash: str
) -> None:
    names = ("ink__dry", "ink__dry" if clash == "name" else "ink__wet")
    aliases = ("a", "b" if clash == "name" else "a")
    paths = [
        write(tmp_path / f"{alias}{name}{i}.yaml", document(**{name: model(alias=alias)}))
        for i, (name, alias) in enumerate(zip(names, aliases, strict=True))
    ]
    asked_for(monkeypatch, *paths)
    with pytest.raises(RegistryError, match=r"^ARTGAN_REGISTRY: ") as caught:
        read_registry()
    for path in paths:
        assert str(path) in str(caught.value)


def test_a_fault_of_the_users_file_is_told_and_harms_nothing_else(
    own: Path, settings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = document(ink__mine=model(alias="mine"), ink__bad=model(alias="Bad"))
    path = write(settings_folder / "artgan" / "registry.yaml", bad)
    found = read_registry()
    assert found.names("ink.*") == [MODEL]
    assert found.problems[0].startswith(f"{path}: ink.bad: alias: ")
    with pytest.raises(ModelNotFoundError, match="a registry file is invalid, artgan doctor shows why"):
        found.entry("mine")
    monkeypatch.setenv("ARTGAN_STRICT_PLUGINS", "1")
    read_registry.cache_clear()
    with pytest.raises(RegistryError, match=r"ink\.bad: alias"):
        read_registry()


def test_a_fault_of_a_file_that_was_asked_for_is_an_error(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for(monkeypatch, tmp_path / "absent.yaml")
    with pytest.raises(RegistryError, match=r"^ARTGAN_REGISTRY: .*absent\.yaml: cannot be read"):
        read_registry()
    asked_for(monkeypatch, write(tmp_path / "bad.yaml", {"schema": 1}))
    with pytest.raises(RegistryError, match=r"^ARTGAN_REGISTRY: .*bad\.yaml: models: is missing"):
        read_registry()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="other folders there")
@pytest.mark.parametrize("setting", [None, "", "relative/folder"])
def test_the_users_file_is_where_settings_are(monkeypatch: pytest.MonkeyPatch, setting: str | None) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    if setting is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", setting)
    monkeypatch.setenv("HOME", "/home/monet")
    assert user_file() == Path("/home/monet/.config/artgan/registry.yaml")


# Asking the registry


@pytest.fixture
def three() -> Registry:
    names = {"ink.wash": "wash", "ink.dry": None, "oil.thick": "thick"}
    weights = Weights("a" * 64, 1, "p/w")
    return Registry({name: Entry(name, name.split(".")[0], "d", weights, alias=alias) for name, alias in names.items()})


def test_names_match_a_pattern_and_are_sorted(three: Registry) -> None:
    assert three.names() == ["ink.dry", "ink.wash", "oil.thick"]
    assert three.names("ink.*") == ["ink.dry", "ink.wash"]
    assert three.names("*.thi?k") == ["oil.thick"]
    assert three.names("INK.*") == []


def test_a_model_is_found_by_name_or_alias(three: Registry) -> None:
    assert three.entry("ink.wash") is three.entry("wash")
    assert three.entry("ink.dry").name == "ink.dry"


def test_an_unknown_model_hints_at_near_ones_that_work_here(three: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artgan.models.entry.find_plugins", lambda: {"ink": None, "oil": None})
    cases = {
        "oil.thik": "did you mean thick? artgan models lists all",
        "wsh": "did you mean wash? artgan models lists all",
        "ink.dr": "did you mean ink.dry? artgan models lists all",
        "zzzzzz": "there are thick, wash and others; artgan models lists all",
    }
    for name, told in cases.items():
        with pytest.raises(ModelNotFoundError) as refused:
            three.entry(name)
        assert str(refused.value) == f"no model named {name!r}; {told}"
    monkeypatch.setattr("artgan.models.entry.find_plugins", lambda: {"ink": None})  # then thick is not installed
    with pytest.raises(ModelNotFoundError, match=r"'oil\.thik'; there are wash and others; artgan models lists all$"):
        three.entry("oil.thik")
    with pytest.raises(ModelNotFoundError, match=r"'wash'; artgan models lists all$"):
        Registry({}).entry("wash")


def test_at_most_three_are_suggested_the_default_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artgan.models.entry.find_plugins", lambda: {"ink": None})
    weights = Weights("a" * 64, 1, "p/w")
    entries = {f"ink.{n}": Entry(f"ink.{n}", "ink", "d", weights, alias=f"wash{n}") for n in range(6)}
    registry = Registry(entries, default="wash4")
    with pytest.raises(ModelNotFoundError, match="there are wash4, wash0, wash1 and others"):
        registry.entry("picasso")
    with pytest.raises(ModelNotFoundError) as refused:
        registry.entry("wash")
    assert str(refused.value).count(" or ") == 2


@pytest.mark.parametrize("name", ["org/repo", "/tmp/model", "./model", "../model", "~/model", "C:\\model"])
def test_a_path_hints_at_the_prefixes(three: Registry, name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        three.entry(name)
    assert f"local-dir:{name}" in str(caught.value)
    assert "hf-hub:org/repo@revision" in str(caught.value)


def test_the_command_that_uses_a_model_depends_on_what_goes_in() -> None:
    weights = Weights("a" * 64, 1, "p/w")
    assert Entry(MODEL, "ink", "artgan-ink", weights, alias="wash").usage() == "artgan paint photo.jpg --model wash"
    assert Entry(MODEL, "ink", "artgan-ink", weights, task="noise-to-image").usage() == (
        "artgan sample ink.wash -o grid.png"
    )


def test_weights_in_the_cache_of_the_hub_are_told_from_those_that_are_not(
    tmp_path: Path, install_plugin: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    entry = Entry(
        MODEL, "ink", "artgan-ink", Weights("a" * 64, 1, hub=HubFile("someone/ink", "1" * 40, "w.safetensors"))
    )
    assert entry.availability() == "not installed"
    install_plugin("ink", "")
    assert entry.availability() == "remote"
    snapshots = tmp_path / "hub" / "models--someone--ink" / "snapshots"
    write(snapshots / ("2" * 40) / "w.safetensors", "another commit")
    assert entry.availability() == "remote"
    write(snapshots / ("1" * 40) / "w.safetensors", "this one")
    assert entry.availability() == "cached"
    assert Entry(MODEL, "ink", "artgan-ink", Weights("a" * 64, 1, "p/w.safetensors")).availability() == "bundled"
    assert Entry(MODEL, "ink", "artgan-ink").availability() == "no weights"


# The default model


def test_the_default_is_that_of_the_strongest_file(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_registry().default == ""
    write(own, {**document(ink__wash=model()), "default": "wash"})
    read_registry.cache_clear()
    assert read_registry().default == "wash"
    mine = write(tmp_path / "mine.yaml", {**document(ink__mine=model(alias="mine")), "default": "ink.mine"})
    monkeypatch.setenv("ARTGAN_REGISTRY", str(mine))
    read_registry.cache_clear()
    assert read_registry().default == "ink.mine"
    other = write(tmp_path / "other.yaml", {**document(), "default": "wash"})
    monkeypatch.setenv("ARTGAN_REGISTRY", f"{mine}{os.pathsep}{other}")
    read_registry.cache_clear()
    with pytest.raises(RegistryError, match=rf"{re.escape(str(other))}: default: is in {re.escape(str(mine))} already"):
        read_registry()


def test_a_default_that_is_no_model_is_refused(own: Path) -> None:
    write(own, {**document(ink__wash=model()), "default": "wish"})
    read_registry.cache_clear()
    with pytest.raises(RegistryError, match="default: no model is named 'wish'"):
        read_registry()


def test_the_default_of_artgan_is_a_model_that_paints() -> None:
    registry = read_registry()
    assert registry.entry(registry.default).task == "image-to-image"
