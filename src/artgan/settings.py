"""The user's settings, which hold for all commands: files of pretrained networks. Does not import torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from artgan.errors import ConfigError, did_you_mean, one_line

NETWORKS = ("vgg19", "inception", "dinov2")
"""The pretrained networks whose files can be set: each is an option of that name where a command uses it."""


NETWORK_FILE = "file of {}'s weights [default: from the user's settings, or downloaded]"
"""The help text of such an option."""


def user_folder() -> Path:
    """The user's configuration folder for artgan: ``~/.config/artgan``, or where the system keeps such folders."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # as the XDG specification asks
        folder = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
        if sys.platform == "win32":
            folder = os.environ.get("APPDATA", "~/AppData/Roaming")
    return Path(os.path.expanduser(folder), "artgan")


def data_folder() -> Path:
    """The folder of the user's data for artgan: ``~/.local/share/artgan``, or where the system keeps such folders."""
    folder = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(folder):
        folder = "~/Library/Application Support" if sys.platform == "darwin" else "~/.local/share"
        if sys.platform == "win32":
            folder = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    return Path(os.path.expanduser(folder), "artgan")


def network_file(network: str, given: str | os.PathLike[str] | None = None) -> Path | None:
    """The file of a pretrained network's weights, in this order: as given, as the environment says, as the file says.

    The environment variable of ``vgg19`` is ``ARTGAN_VGG19``; the file is ``config.yaml`` in :func:`user_folder`, where
    relative paths start from the file's folder.

    Args:
        network: one of :data:`NETWORKS`.
        given: the option of the network's name; it is not checked here.

    Returns:
        The path, or None if none is set.

    Raises:
        ConfigError: the settings cannot be read, or the file that they name does not exist.
    """
    if given is not None:
        return Path(given).expanduser()
    variable = f"ARTGAN_{network.upper()}"
    if named := os.environ.get(variable):
        where, path = variable, Path(named).expanduser()
    else:
        file = user_folder() / "config.yaml"
        text = _read(file).get(network)
        if text is None:
            return None
        where, path = f"{file}: {network}", file.parent / Path(text).expanduser()
    if not path.is_file():
        raise ConfigError(f"{where}: there is no file {path}; correct the setting, or give --{network} FILE")
    return path


def _read(file: Path) -> dict[str, str]:
    """The settings; none without a file."""
    if not file.exists():
        return {}
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read as YAML ({one_line(error)})") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: must hold lines such as vgg19: FILE")
    for name, value in document.items():
        if name not in NETWORKS:
            hint = did_you_mean(str(name), NETWORKS) or f"there are {', '.join(NETWORKS)}"
            raise ConfigError(f"{file}: unknown setting {name!r}; {hint}")
        if not isinstance(value, str):
            raise ConfigError(f"{file}: {name} must be the path of a file, not {value!r}")
    return document
