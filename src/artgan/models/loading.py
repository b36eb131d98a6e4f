"""Loads a model by name: registry entry, plugin or exported network, verified weights. Does not import torch itself."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artgan.errors import ConfigError, WeightsError
from artgan.models.locating import Form, Located, locate
from artgan.models.model import Model
from artgan.models.runtimes.opening import RUNTIMES
from artgan.painting.network import Network

if TYPE_CHECKING:
    import torch

    from artgan.models.torch_model import TorchModel

MOST_SEED = 2**62
"""The largest seed of a picture; further pictures count on from it."""


def load(
    name: str,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    runtime: str | None = None,
) -> Model:
    """Load a model, in evaluation mode.

    Args:
        name: a registry name or alias ("monet"), "local-dir:PATH", or "hf-hub:ORG/REPO@REVISION". "NAME#SEED" names a
            picture of a model that makes them from noise; see :func:`split_seed`.
        revision: commit, branch or tag of a model on the Hub, instead of the registry's; the registry's hash and
            metrics then do not apply, and bundled weights are not used.
        device: the model's device; the CPU by default. Only PyTorch has others.
        dtype: the parameters' dtype: float32 (the default), float16 or bfloat16, as a name or a torch.dtype. Only
            PyTorch has others.
        cache_dir: where files from the Hub are cached.
        local_files_only: never use the network.
        runtime: what runs the model. "torch": its plugin's network, an ``nn.Module``. "onnxruntime" or "openvino": its
            exported form, if it has one. "auto": ONNX Runtime if it has an exported form and neither ``device`` nor
            ``dtype`` is given, else PyTorch. By default PyTorch where it and the model's plugin are installed, else
            ONNX Runtime.

    Raises:
        ModelNotFoundError: no such model.
        PluginError: its plugin is missing or broken.
        WeightsError: the weights are missing, damaged or another model's.
        ConfigError: the runtime is unknown, or cannot run this model.
        RegistryError: a registry file is invalid.
        ArtganError: the device or dtype is unknown or unusable.
    """
    if runtime not in (None, "auto", *RUNTIMES):
        raise ConfigError(f"unknown runtime {runtime!r}; known: {', '.join(RUNTIMES)}")
    torch_only = device is not None or dtype is not None
    prefer: Form | None = None
    if torch_only or runtime == "torch":
        prefer = "weights"
    elif runtime is not None:
        prefer = "exported"
    plain, seed = split_seed(name)
    found = locate(plain, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, prefer=prefer)
    model = _build(found, device, dtype, runtime)
    if seed is not None:
        if model.task != "noise-to-image":
            raise ConfigError(f"{name}: a seed names a picture from noise; {model.name} paints photos, omit #{seed}")
        model.seed = seed
    return model


def _build(
    found: Located, device: str | torch.device | None, dtype: str | torch.dtype | None, runtime: str | None
) -> Model:
    """The model that was located; arguments and errors as for :func:`load`."""
    torch_only = device is not None or dtype is not None
    if found.form == "weights":
        found.plugin  # noqa: B018  # whose installation brings PyTorch, so that it is asked for first
        if find_spec("torch") is None:
            raise ConfigError(f"{found.name} needs PyTorch, which is not installed: pip install torch")
        from artgan.models.torch_model import load_torch

        return load_torch(found, device, dtype, None if runtime == "auto" else runtime)
    if torch_only or runtime == "torch":
        raise ConfigError(
            f"{found.name}: is an exported model, which PyTorch does not run; leave out "
            + ("runtime" if runtime == "torch" else "device and dtype")
        )
    from artgan.models.exported import load_exported

    return load_exported(found, runtime if runtime in ("onnxruntime", "openvino") else "onnxruntime")


Model.load = staticmethod(load)


def split_seed(name: str) -> tuple[str, int | None]:
    """Split "NAME#SEED", which names a picture that a model makes from noise; the seed is None if there is none.

    What follows the last "#" is part of a folder's path unless it is a whole number and there is no such folder.

    Raises:
        ConfigError: what follows is no whole number of 0 to 2^62.
    """
    plain, mark, text = name.rpartition("#")
    if not mark:
        return name, None
    if re.fullmatch("[0-9]{1,19}", text) and int(text) <= MOST_SEED:
        if not (plain.startswith("local-dir:") and Path(name.removeprefix("local-dir:")).is_dir()):
            return plain, int(text)
    elif not plain.startswith("local-dir:"):
        raise ConfigError(f"{name}: write MODEL#SEED, with a whole number of 0 to 2^62 as the seed")
    return name, None


def load_network(name: str, *, digest: str, **options: Any) -> Network:
    """The network of a model that another machine has loaded too.

    Args:
        name: as for :func:`load`.
        digest: the model's, there.
        options: as for :func:`load`.

    Raises:
        WeightsError: the model is another one here.
        ArtganError: as for :func:`load`.
    """
    model = load(name, **options)
    if model.digest != digest:
        raise WeightsError(f"{name}: is a different model here than where the command was run; all nodes need the same")
    return model.running_on()


def load_torch_model(name: str, **options: Any) -> TorchModel:
    """Load a model whose generator is wanted itself; ``options`` as for :func:`load`.

    Raises:
        ConfigError: it is an exported model.
        ArtganError: as for :func:`load`.
    """
    model = load(name, runtime="torch", **options)  # first, as it says which plugin to install
    from artgan.models.torch_model import TorchModel

    assert isinstance(model, TorchModel)
    return model
