"""Files of pretrained networks: what is given comes before the environment, and that before the user's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from artgan.errors import ConfigError
from artgan.settings import NETWORKS, data_folder, network_file


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings' file, which does not exist yet, with nothing set in the environment."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for network in NETWORKS:
        monkeypatch.delenv(f"ARTGAN_{network.upper()}", raising=False)
    (tmp_path / "config" / "artgan").mkdir(parents=True)
    return tmp_path / "config" / "artgan" / "config.yaml"


def test_without_settings_there_is_no_file(settings: Path) -> None:
    assert network_file("vgg19") is None
    settings.write_text("")
    assert network_file("vgg19") is None


@pytest.mark.parametrize("network", NETWORKS)
def test_the_option_comes_before_the_environment_and_that_before_the_file(
    network: str, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, set_by_variable, given = settings.parent / "near", tmp_path / "variable", tmp_path / "given"
    near.touch()
    set_by_variable.touch()
    settings.write_text(f"{network}: near\n")  # relative to the settings' folder
    assert network_file(network) == near
    monkeypatch.setenv(f"ARTGAN_{network.upper()}", str(set_by_variable))
    assert network_file(network) == set_by_variable
    assert network_file(network, given) == given
    monkeypatch.setenv(f"ARTGAN_{network.upper()}", "")
    assert network_file(network) == near


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vgg: a\n", r"config\.yaml: unknown setting 'vgg'; did you mean 'vgg19'\?"),
        ("hub: a\n", r"unknown setting 'hub'; there are vgg19, inception, dinov2"),
        ("- vgg19\n", r"must hold lines such as vgg19: FILE"),
        ("vgg19: 3\n", r"vgg19 must be the path of a file, not 3"),
        ("vgg19: [\n", r"cannot be read as YAML"),
        ("vgg19: none\n", r"config\.yaml: vgg19: there is no file .*none; correct the setting, or give --vgg19 FILE"),
    ],
)
def test_faulty_settings_are_refused_by_name(settings: Path, text: str, told: str) -> None:
    settings.write_text(text)
    with pytest.raises(ConfigError, match=told):
        network_file("vgg19")


def test_a_variable_that_names_no_file_is_named(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGAN_VGG19", "/no/such")
    with pytest.raises(ConfigError, match=r"ARTGAN_VGG19: there is no file .no.such; .* --vgg19 FILE"):
        network_file("vgg19")


@pytest.mark.parametrize(
    ("system", "variable", "value", "folder"),
    [
        ("linux", "XDG_DATA_HOME", "/data", "/data/artgan"),
        ("linux", "XDG_DATA_HOME", "not/absolute", "/home/me/.local/share/artgan"),
        ("linux", "LOCALAPPDATA", "/local", "/home/me/.local/share/artgan"),
        ("darwin", "HOME", "/home/me", "/home/me/Library/Application Support/artgan"),
        ("win32", "LOCALAPPDATA", "/local", "/local/artgan"),
    ],
)
def test_the_users_data_is_where_the_system_keeps_it(
    monkeypatch: pytest.MonkeyPatch, system: str, variable: str, value: str, folder: str
) -> None:
    monkeypatch.setattr("artgan.settings.sys.platform", system)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv(variable, value)
    assert data_folder() == Path(folder)
