"""A model run by PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from artgan import config as configs
from artgan.devices import usable_device
from artgan.discovery import find_plugins, load_plugin, resolve
from artgan.errors import ArtganError, WeightsError
from artgan.interfaces import Generator, Task
from artgan.models.building import build, read_weights
from artgan.models.folder import save_model, write_files
from artgan.models.hands import read_brushwork
from artgan.models.locating import Located, find_base
from artgan.models.model import Model
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan.painting.manner import Brushwork
from artgan.painting.network import Network


class TorchModel(nn.Module, Model):
    """A model whose network is a generator of PyTorch.

    Attributes:
        generator: the network.
        runtime: what runs it when it paints.
    """

    def __init__(
        self,
        name: str,
        generator: Generator,
        card: Mapping[str, Any],
        brushwork: Brushwork | None = None,
        runtime: str = "torch",
    ) -> None:
        super().__init__()
        self.name = name
        self.generator = generator
        self.card = dict(card)
        self.brushwork = brushwork
        self.runtime = runtime
        self._runtimes: dict[tuple[str, int], Network] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map N x 3 x H x W pictures in [-1, 1] to the same; see :meth:`artgan.interfaces.Generator.forward`."""
        return self.generator(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    @property
    def task(self) -> Task:
        """See :attr:`Model.task`."""
        return self.generator.task

    @cached_property
    def needs_style(self) -> bool:
        """See :attr:`Model.needs_style`."""
        return load_plugin(self.card["plugin"]).encode_style is not None and not self.card.get("style")

    @property
    def digest(self) -> str:
        """See :attr:`Model.digest`."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.generator.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def running_on(self, runtime: str | None = None) -> Network:
        """See :meth:`Model.running_on`; ``accelerate`` of ``models.runtimes`` makes others than PyTorch.

        Each runtime is started once per number of threads; only torch picks up weights that change later.

        Raises:
            ArtganError: the model makes pictures from noise.
            ConfigError: the runtime is unknown or not installed, or the model is not on the CPU in float32.
            ExportError: the runtime's output differs from PyTorch's.
        """
        if self.task != "image-to-image":
            raise ArtganError(
                f"{self.name}: paints no photos, but makes pictures from noise: artgan sample {self.name} -o grid.png"
            )
        runtime = runtime or self.runtime
        if runtime == "torch":
            return TorchNetwork(self.generator)
        from artgan.models.runtimes.accelerate import accelerate

        chosen = (runtime, torch.get_num_threads())
        if chosen not in self._runtimes:
            built = f"{find_plugins()[self.card['plugin']]} {json.dumps(self.card['config'], sort_keys=True)}"
            self._runtimes[chosen] = accelerate(self.generator, runtime, key=built)
        return self._runtimes[chosen]

    def __getstate__(self) -> dict[str, Any]:
        """The state without the runtimes, which cannot be copied; they are started again."""
        return {**self.__dict__, "_runtimes": {}}

    def sample(self, count: int = 1, *, seed: int | None = None, noise: str | None = None) -> list[Image.Image]:
        """See :meth:`Model.sample`."""
        if self.task != "noise-to-image":
            return super().sample(count)  # which says what the model does instead
        from artgan.sampling.sampling import sample

        return sample(self.generator, count, seed=self.seed if seed is None else seed, noise=noise)

    def save_pretrained(self, path: str | Path, *, examples: bool = True) -> None:
        """See :meth:`Model.save_pretrained`."""
        from artgan.models.cards import card_files

        if not self.generator.state_dict():
            raise WeightsError(f"{self.name}: has no weights to save; it consists of its plugin and its config")
        folder = Path(path)
        card = self.card if self.brushwork is None else {**self.card, "brushwork": self.brushwork.to_card()}
        files = card_files(card, self.task, paint=self.paint if examples else None, needs_style=self.needs_style)
        self.save(folder)
        write_files(folder, files)

    def save(self, folder: Path) -> None:
        """Write weights and ``config.json`` alone; of a model with a base, only the weights that differ from it.

        Raises:
            WeightsError: the folder cannot be written, or the base is no longer the same.
        """
        extra, only = self.kept, None
        if base := self.card.get("base"):
            extra, only = {**extra, "base": base}, self._unlike(find_base(base, self.card["plugin"], self.name))
        save_model(
            folder,
            self.generator,
            plugin=self.card["plugin"],
            config=self.card["config"],
            extra=extra,
            brushwork=self.brushwork,
            only=only,
        )

    def _unlike(self, base: Located) -> set[str]:
        """The names of the weights that differ from those of another model of the same network."""
        theirs = weights_of(base)
        return {
            name
            for name, ours in self.generator.state_dict().items()
            if name not in theirs or not torch.equal(ours.cpu(), theirs[name].to(ours.dtype))
        }


def load_torch(
    found: Located, device: str | torch.device | None, dtype: str | torch.dtype | None, runtime: str | None
) -> TorchModel:
    """Build a model that has been located; see :func:`artgan.load`."""
    place, precision = usable_device(device), _dtype(dtype)
    file = "" if found.file is None else str(found.file.path)
    where = f"{found.source}: config"
    base = None
    if found.base is not None:
        base = weights_of(found.base)
        cls = resolve(found.plugin, "config")
        ours, theirs = (configs.parse(cls, each.card["config"], where=where) for each in (found, found.base))
        if ours != theirs:
            raise WeightsError(f"{where}: is not that of {found.base.name}, on which this model is based")
    generator = build(found.plugin, found.card["config"], found.data, where=where, file=file, base=base)
    brushwork = read_brushwork(found.card, found.about, where=found.source)
    return TorchModel(found.name, generator, found.card, brushwork, runtime or "torch").to(place, precision).eval()


def weights_of(found: Located) -> dict[str, Tensor]:
    """The verified weights of a model that has a file of them.

    Raises:
        WeightsError: the file cannot be read, or is damaged.
    """
    assert found.file is not None
    assert found.data is not None
    return read_weights(found.data, str(found.file.path))


_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    for name, found in _DTYPES.items():
        if dtype in (name, found):
            return found
    if dtype is None:
        return torch.float32
    raise ArtganError(f"dtype {dtype!r} cannot be used; available: {', '.join(_DTYPES)}")
