"""A small model that paints in any style, with random weights, which a registry file has; and style pictures."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artgan_anystyle.config import AnyStyleConfig
from artgan_anystyle.generator import AnyStyleGenerator, build_generator
from PIL import Image

from artgan.models.folder import save_model
from artgan.models.registry import read_registry

CONFIG: dict[str, Any] = {"width": 8, "blocks": 1, "encoder_width": 4, "code": 16}


def generator(seed: int = 0) -> AnyStyleGenerator:
    """With random weights, which make something of each style."""
    torch.manual_seed(seed)
    made = build_generator(AnyStyleConfig(**CONFIG))
    for block in made.painter.blocks:
        torch.nn.init.normal_(block.second.weight, 0, 0.1)
    return made


def install_base(folder: Path, monkeypatch: pytest.MonkeyPatch, *, seed: int = 0) -> Path:
    """Let the registry have it as ``anystyle.any``, for this test and the programs that it starts.

    Returns:
        The file of its weights. The user's own models are in ``folder/data``.
    """
    package = folder / "site" / "style_base"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    save_model(package, generator(seed), plugin="anystyle", config=CONFIG)
    weights = package / "model.safetensors"
    data = weights.read_bytes()
    entry = {
        "plugin": "anystyle",
        "distribution": "artgan-anystyle",
        "alias": "anystyle",
        "config": CONFIG,
        "license": {"weights": "apache-2.0"},
        "weights": {
            "bundled": "style_base/model.safetensors",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        },
    }
    (folder / "registry.yaml").write_text(json.dumps({"schema": 1, "models": {"anystyle.any": entry}}))
    monkeypatch.setenv("ARTGAN_REGISTRY", str(folder / "registry.yaml"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=os.pathsep)
    read_registry.cache_clear()
    return weights


def style_picture(path: Path, seed: int = 0, size: tuple[int, int] = (96, 72)) -> Path:
    """Write a picture of smooth random colors; returns its path."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)
    return path
