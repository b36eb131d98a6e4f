"""Publishes a model's folder on the Hub: everything is validated before anything is uploaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from artgan import hub
from artgan.errors import ArtganError
from artgan.images import decode
from artgan.models.cards import EXAMPLE_INPUT, EXAMPLE_OUTPUT, README, card_files, checked_license, weights_license
from artgan.models.folder import CONFIG, EXPORTED, THUMBNAIL, WEIGHTS, read_card
from artgan.models.loading import load
from artgan.models.model import Model
from artgan.models.torch_model import TorchModel

if TYPE_CHECKING:  # imported where needed, because it is slow
    from huggingface_hub import CommitOperationAdd

_PUBLISHED = (WEIGHTS, EXPORTED, CONFIG, README, EXAMPLE_INPUT, EXAMPLE_OUTPUT, "LICENSE")
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[a-zA-Z0-9][\w.-]*/[a-zA-Z0-9][\w.-]*(?<![-.])", re.ASCII)
_MAX_SMALL_BYTES = 16 * 2**20  # of each file other than the weights
_TOLERANCE = 2.0  # mean difference, of 255: rounding differs between machines


@dataclass(frozen=True)
class Publication:
    """Validated files, and the repository to publish them in; what else a registry has to say of the model."""

    repo_id: str
    operations: Sequence[CommitOperationAdd]
    more: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The files, one per line: SHA-256, size, name."""
        return [
            f"{operation.upload_info.sha256.hex()}  {operation.upload_info.size:>12,}  {operation.path_in_repo}"
            for operation in self.operations
        ]

    def upload(self, *, private: bool = False) -> str:
        """Upload in one commit and return the lines for registry.yaml; the repository is created if necessary.

        Args:
            private: whether the repository must be private.

        Raises:
            ArtganError: not logged in, no access, no connection; or ``private`` is set and the repository is public.
        """
        commit = hub.upload(self.repo_id, self.operations, private=private, message="Publish a model of artgan")
        files = {operation.path_in_repo: operation.upload_info for operation in self.operations}
        key, name = ("exported", EXPORTED) if EXPORTED in files else ("weights", WEIGHTS)
        weights = files[name]
        lines = (
            f"{key}:\n"
            f"  hub: {{repo_id: {self.repo_id}, revision: {commit}, file: {name}}}\n"
            f"  sha256: {weights.sha256.hex()}\n"
            f"  size: {weights.size}"
        )
        if self.more:
            lines += "\n" + yaml.safe_dump(dict(self.more), sort_keys=False).rstrip()
        return lines


def prepare(folder: Path, repo_id: str, *, license: str | None = None) -> Publication:
    """Validate a model's folder, and make the README.md and example pictures if they are missing.

    Uploads nothing, and leaves the folder as it is.

    Args:
        folder: a folder written by :meth:`artgan.Model.save_pretrained` or by a training run.
        repo_id: "ORG/NAME" on the Hub.
        license: the license of the weights, by its name at SPDX or on the Hub, for a model that names none.

    Raises:
        ArtganError: the folder does not load, holds other files, names no license or another one, or its example does
            not match the model's output; or ``repo_id`` is not a valid repository name.
        ConfigError: no license has this name.
    """
    from huggingface_hub import CommitOperationAdd

    if not _REPOSITORY.fullmatch(repo_id):
        raise ArtganError(f"{repo_id!r} is not a valid name of a Hub repository: write ORG/NAME")
    model = load(f"local-dir:{folder}")
    names = _check_files(folder)
    files: dict[str, Path | bytes] = {}
    if license is not None:
        license = checked_license(license)
        files[CONFIG] = _with_license(folder, model, license)
    _check_license(folder, model, license)
    _check_output(folder, model)
    if not {README, EXAMPLE_INPUT, EXAMPLE_OUTPUT} <= names:
        made = card_files(model.card, model.task, paint=model.paint, needs_style=model.needs_style)
        files = {**made, **files}
    files = {**files, **{name: folder / name for name in names if license is None or name != CONFIG}}
    return Publication(
        repo_id,
        [CommitOperationAdd(name, files[name]) for name in _PUBLISHED if name in files],
        {key: model.card[key] for key in ("brushwork", "base", "style") if model.card.get(key)},
    )


def _with_license(folder: Path, model: Model, license: str) -> bytes:
    """The folder's ``config.json`` with a license of the weights, which the model's card gets too."""
    named = weights_license(model.card)
    if named is not None and named.lower() != license.lower():
        raise ArtganError(f"{folder / CONFIG}: names the license {named}; omit --license, or change it there")
    card = read_card(folder)
    told = card.get("license")
    card["license"] = {**(told if isinstance(told, Mapping) else {}), "weights": license}
    model.card["license"] = card["license"]
    return (json.dumps(card, indent=2) + "\n").encode()


def _check_files(folder: Path) -> set[str]:
    """The names of the files to publish; hidden files and thumbnails are ignored, all others are rejected."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    names.discard(THUMBNAIL)  # a picture of someone else's, perhaps
    foreign = sorted(names - set(_PUBLISHED))
    if foreign:
        raise ArtganError(
            f"{folder}: holds {', '.join(foreign[:5])}{' ...' if len(foreign) > 5 else ''}, which is not published; "
            f"move it away: a published folder holds {', '.join(_PUBLISHED)}"
        )
    for name in names - {WEIGHTS, EXPORTED}:
        path = folder / name
        if not path.is_file():
            raise ArtganError(f"{path}: not a file")
        if path.stat().st_size > _MAX_SMALL_BYTES:
            raise ArtganError(f"{path}: larger than {_MAX_SMALL_BYTES} bytes")
    return names


def _check_license(folder: Path, model: Model, license: str | None) -> None:
    if weights_license(model.card) is None:
        raise ArtganError(
            f"{folder / CONFIG}: names no license; give that of the weights, for example --license apache-2.0"
        )
    path = folder / README
    if not path.exists():
        return
    try:
        start, front, _ = path.read_text(encoding="utf-8").split("---\n", 2)
        metadata = yaml.safe_load(front)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        start, metadata = "", None
    if start or not isinstance(metadata, dict) or not isinstance(metadata.get("license"), str):
        raise ArtganError(
            f"{path}: names no license in YAML between two lines of ---; add it, or remove the file to have one made"
        )
    told = metadata.get("license_name") or metadata["license"]
    if license is not None and str(told).lower() != license.lower():
        raise ArtganError(f"{path}: names the license {told}; omit --license, or remove the file to have one made")


def _check_output(folder: Path, model: Model) -> None:
    """Check that weights and output are finite, and that the example matches the model's output."""
    if isinstance(model, TorchModel):
        tensors = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise ArtganError(f"{folder / WEIGHTS}: holds weights that are not finite")
    if isinstance(model, TorchModel) and model.task == "noise-to-image":
        noise = model.generator.noise(1, generator=torch.Generator().manual_seed(0))
        if not model.generator.generate(noise).isfinite().all():
            raise ArtganError(f"{folder}: the model's picture of noise is not finite")
        return
    given, shown = folder / EXAMPLE_INPUT, folder / EXAMPLE_OUTPUT
    if given.exists() != shown.exists():
        raise ArtganError(f"{folder}: holds one of {EXAMPLE_INPUT} and {EXAMPLE_OUTPUT}; remove it to have both made")
    if not given.exists():
        return
    painted, claimed = (np.asarray(image, np.float32) for image in (model.paint(given), decode(shown).rgb))
    if painted.shape != claimed.shape or np.abs(painted - claimed).mean() > _TOLERANCE:
        raise ArtganError(
            f"{shown}: not what the model paints of {EXAMPLE_INPUT}; remove both to have them regenerated"
        )
