"""The user's own models: folders that are found by name, after the registry's; broken ones disturb nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import artgan
from artgan.errors import ArtganError, ConfigError, ModelNotFoundError, WeightsError
from artgan.files import refused_by_windows
from artgan.models.own import check_name, own_models, put_own_model, remove_own_model
from artgan.models.registry import read_registry

NETWORK = "cyclegan.monet-fine"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    artgan.load(NETWORK, runtime="torch").save_pretrained(folder, examples=False)
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: Path) -> Path:
    """The folder of the user's own models, with one of the name mine."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "artgan" / "models"
    shutil.copytree(saved, folder / "mine")
    assert own_models() == folder
    return folder


def test_a_model_of_ones_own_is_found_by_its_name(models: Path) -> None:
    photo = Image.radial_gradient("L").resize((48, 36)).convert("RGB")
    model = artgan.load("mine")
    assert np.array_equal(model.paint(photo), artgan.load(NETWORK, runtime="torch").paint(photo))
    assert model.name == "mine"
    assert "mine" in artgan.list_models()
    entry = read_registry().entry("mine")
    assert (entry.folder, entry.plugin, entry.availability()) == (models / "mine", "cyclegan", "own")
    assert (entry.distribution, entry.task) == ("artgan-cyclegan", "image-to-image")
    assert entry.license["weights"] == "apache-2.0"
    with pytest.raises(ArtganError, match="mine: a folder has no revisions"):
        artgan.load("mine", revision="main")
    with pytest.raises(ModelNotFoundError, match="did you mean mine"):
        artgan.load("mien")


def test_what_a_model_is_for_is_what_its_plugin_is_for(models: Path) -> None:
    artgan.load("dcgan.monet", runtime="torch").save_pretrained(models / "dreams", examples=False)
    read_registry.cache_clear()
    assert read_registry().entry("dreams").task == "noise-to-image"


@pytest.mark.slow
def test_a_model_that_another_process_saves_meanwhile_is_found(models: Path) -> None:
    assert "later" not in read_registry().entries
    (models / "mine").rename(models / "later")
    assert artgan.load("later").name == "later"


def test_the_registry_comes_first(models: Path) -> None:
    shutil.copytree(models / "mine", models / "vangogh")
    registry = read_registry()
    assert registry.entry("vangogh").name == "cyclegan.vangogh"
    assert registry.broken == {
        "vangogh": f"{models / 'vangogh'}: 'vangogh' is already the name of a registry model; rename the folder"
    }
    assert registry.entry("mine").name == "mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("card", "told"),
    [
        (None, "holds no config.json"),
        ("{", "config.json: not valid JSON"),
        ({"plugin": "cyclegan"}, "config.json: must name the plugin"),
        ({"plugin": "x]; rm", "config": {}}, "config.json: plugin: no plugin can have the name 'x]; rm'"),
        ({"plugin": "cyclegan", "config": {}, "summary": 3}, "config.json: summary: must be a text"),
        ({"plugin": "cyclegan", "config": {}, "style": ["a"]}, "config.json: style: must be a mapping"),
        ({"plugin": "cyclegan", "config": {}, "base": "monet"}, "config.json: base: must be a mapping"),
        ({"plugin": "cyclegan", "config": {}, "metrics": [3]}, "config.json: metrics: must be a list of mappings"),
    ],
)
def test_a_broken_folder_is_told_in_one_line_and_disturbs_nothing(models: Path, card: object, told: str) -> None:
    (models / "broken").mkdir()
    if card is not None:
        (models / "broken" / "config.json").write_text(card if isinstance(card, str) else json.dumps(card))
    registry = read_registry()
    [problem] = registry.broken.values()
    assert told in problem
    assert str(models / "broken") in problem
    assert "\n" not in problem
    assert registry.entry("mine").folder == models / "mine"
    with pytest.raises(WeightsError) as refused:
        artgan.load("broken")
    assert str(refused.value) == problem


def test_a_place_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "artgan").mkdir()
    assert not read_registry().broken
    (tmp_path / "artgan" / "models").touch()
    read_registry.cache_clear()
    assert read_registry().broken == {"": f"{own_models()}: cannot be read (Not a directory)"}
    assert read_registry().entry("monet").name == "cyclegan.monet"
    with pytest.raises(WeightsError, match="models/new: the model cannot be written here"):
        put_own_model("new", lambda folder: None)


def test_what_is_hidden_or_no_folder_is_no_model(models: Path) -> None:
    (models / ".artgan-host-1-x.part").mkdir()
    (models / "notes.txt").touch()
    assert [name for name, entry in read_registry().entries.items() if entry.folder] == ["mine"]
    assert not read_registry().broken


@pytest.mark.parametrize(
    "name", ["Starry", "é", "a.b", "../x", "a/b", "", "-x", "con", "lpt1", "none", "photo", "a b", "a" * 65, "a\n"]
)
def test_names_that_not_every_system_keeps_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a model's name"):
        check_name(name, read_registry())


@pytest.mark.slow
@given(st.text(alphabet=st.characters(max_codepoint=0x17F), max_size=8))
def test_a_name_that_is_accepted_is_one_on_every_system(name: str) -> None:
    try:
        check_name(name, read_registry())
    except ConfigError:
        return
    assert name == name.lower()
    assert name.isascii()
    assert refused_by_windows(PurePath(name)) is None
    assert PurePath(name).name == name
    assert not {".", ":", ",", "/"} & set(name)  # what tells a full name, a prefix, and the next of several


def test_a_model_is_made_whole_or_not_at_all(models: Path) -> None:
    def failing(folder: Path) -> None:
        (folder / "config.json").touch()
        raise OSError(28, "No space left on device")

    before = (models / "mine" / "config.json").read_bytes()
    for name, overwrite in (("new", False), ("mine", True)):
        with pytest.raises(WeightsError, match=r"cannot be written here \(No space left on device\)"):
            put_own_model(name, failing, overwrite=overwrite)
    assert [path.name for path in models.iterdir()] == ["mine"]
    assert (models / "mine" / "config.json").read_bytes() == before
    with pytest.raises(ConfigError, match="mine: exists already"):
        put_own_model("mine", failing)
    put_own_model("mine", lambda folder: (folder / "other").touch(), overwrite=True)
    assert [path.name for path in models.rglob("*")] == ["mine", "other"]


def test_a_link_is_removed_and_not_what_it_leads_to(models: Path, tmp_path: Path) -> None:
    (models / "mine").rename(tmp_path / "elsewhere")
    (models / "mine").symlink_to(tmp_path / "elsewhere")
    remove_own_model(read_registry().entry("mine"))
    assert not list(models.iterdir())
    assert (tmp_path / "elsewhere" / "config.json").is_file()
