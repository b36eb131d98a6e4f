"""Models whose network is an exported file: they need neither their plugin nor torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from artgan.errors import ConfigError
from artgan.models.cards import card_files
from artgan.models.folder import CONFIG, EXPORTED, config_file, write_files
from artgan.models.hands import read_brushwork
from artgan.models.locating import Located
from artgan.models.model import Model
from artgan.models.runtimes.onnx_file import OnnxFile
from artgan.models.runtimes.opening import opener
from artgan.painting.manner import Brushwork
from artgan.painting.network import Network


class ExportedModel(Model):
    """A model run by ONNX Runtime or OpenVINO.

    Attributes:
        file: the network.
        runtime: what runs it by default.
    """

    def __init__(
        self, name: str, file: OnnxFile, card: Mapping[str, Any], brushwork: Brushwork | None, runtime: str
    ) -> None:
        self.name = name
        self.file = file
        self.card = dict(card)
        self.brushwork = brushwork
        self.runtime = runtime
        self._running: dict[str, Network] = {}

    @property
    def task(self) -> Literal["image-to-image", "noise-to-image"]:
        """See :attr:`Model.task`; models that make pictures from noise are not exported in this form."""
        return "image-to-image"

    @property
    def digest(self) -> str:
        """See :attr:`Model.digest`."""
        return hashlib.sha256(self.file.data).hexdigest()

    def running_on(self, runtime: str | None = None) -> Network:
        """See :meth:`Model.running_on`; each runtime is started once."""
        chosen = runtime or self.runtime
        if chosen not in self._running:
            self._running[chosen] = opener(chosen)(self.file)
        return self._running[chosen]

    def __getstate__(self) -> dict[str, Any]:
        """The state without the runtimes, which cannot be copied; they are started again."""
        return {**self.__dict__, "_running": {}}

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Model.options`; there are none: what has options of its own cannot be exported."""
        if given:
            raise ConfigError(f"{self.name}: this model takes no options, got {', '.join(sorted(given))}")
        return {}

    def save_pretrained(self, path: str | Path, *, examples: bool = True) -> None:
        """See :meth:`Model.save_pretrained`."""
        write_exported(Path(path), self, self.file.data, examples=examples)


def load_exported(found: Located, runtime: str) -> ExportedModel:
    """A located model that is an exported file; see :func:`artgan.load`."""
    brushwork = read_brushwork(found.card, found.about, where=found.source)
    return ExportedModel(found.name, found.exported, found.card, brushwork, runtime)


def write_exported(folder: Path, model: Model, data: bytes, *, examples: bool = True) -> None:
    """Write a model's folder around an exported network.

    Raises:
        WeightsError: the folder cannot be written.
        PictureError: the example cannot be painted.
    """
    said = {"exported": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
    card, _ = model.document(said)
    files = card_files(card, model.task, paint=model.paint if examples else None)
    write_files(folder, {EXPORTED: data, CONFIG: config_file(card), **files})
