"""From a model's folder to a repository of the Hub: everything is checked before anything is uploaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import yaml

from artgan import hub
from artgan.errors import ArtganError
from artgan.images import decode
from artgan.models.cards import EXAMPLE_INPUT, EXAMPLE_OUTPUT, README, card_files, weights_licence
from artgan.models.folder import CONFIG, WEIGHTS
from artgan.models.loading import Model, load

if TYPE_CHECKING:  # imported where it is needed: it takes a while
    from huggingface_hub import CommitOperationAdd

_PUBLISHED = (WEIGHTS, CONFIG, README, EXAMPLE_INPUT, EXAMPLE_OUTPUT, "LICENSE")
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[a-zA-Z0-9][\w.-]*/[a-zA-Z0-9][\w.-]*(?<![-.])", re.ASCII)
_MAX_SMALL_BYTES = 16 * 2**20  # of a file beside the weights
_TOLERANCE = 2.0  # of 255, on average: two machines do not round alike


@dataclass(frozen=True)
class Publication:
    """Files that are fit to be published, and where."""

    repo_id: str
    operations: Sequence[CommitOperationAdd]

    def lines(self) -> list[str]:
        """The files, one a line: SHA-256, size, name."""
        return [
            f"{operation.upload_info.sha256.hex()}  {operation.upload_info.size:>12,}  {operation.path_in_repo}"
            for operation in self.operations
        ]

    def upload(self, *, private: bool = False) -> str:
        """Upload in one commit to the repository, which is made if need be, and return what registry.yaml is to say.

        Args:
            private: only those with access may see it.

        Raises:
            ArtganError: not logged in, no access, no connection; or it is to be private and the repository is public.
        """
        commit = hub.upload(self.repo_id, self.operations, private=private, message="Publish a model of artgan")
        weights = next(operation.upload_info for operation in self.operations if operation.path_in_repo == WEIGHTS)
        return (
            "weights:\n"
            f"  hub: {{repo_id: {self.repo_id}, revision: {commit}, file: {WEIGHTS}}}\n"
            f"  sha256: {weights.sha256.hex()}\n"
            f"  size: {weights.size}"
        )


def prepare(folder: Path, repo_id: str) -> Publication:
    """Check a model's folder, and make the README.md and the example pictures that it lacks. Uploads nothing.

    Args:
        folder: what :meth:`artgan.Model.save_pretrained` or a training run wrote.
        repo_id: "ORG/NAME" on the Hub.

    Raises:
        ArtganError: the folder does not load, holds other files too, names no licence, or its example is not what the
            model paints; or that is no name on the Hub.
    """
    from huggingface_hub import CommitOperationAdd

    if not _REPOSITORY.fullmatch(repo_id):
        raise ArtganError(f"{repo_id!r} is not a name that a repository of the Hub can have: write ORG/NAME")
    model = load(f"local-dir:{folder}")
    names = _check_files(folder)
    _check_licence(folder, model)
    _check_output(folder, model)
    made = (
        {}
        if {README, EXAMPLE_INPUT, EXAMPLE_OUTPUT} <= names
        else card_files(model.card, model.generator.task, paint=model.paint)
    )
    return Publication(
        repo_id,
        [
            CommitOperationAdd(name, folder / name if name in names else made[name])
            for name in _PUBLISHED
            if name in names or name in made
        ],
    )


def _check_files(folder: Path) -> set[str]:
    """The names of the files that are published; hidden ones stay behind, others are refused."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    foreign = sorted(names - set(_PUBLISHED))
    if foreign:
        raise ArtganError(
            f"{folder}: holds {', '.join(foreign[:5])}{' ...' if len(foreign) > 5 else ''}, which is not published; "
            f"move it away: a published folder holds {', '.join(_PUBLISHED)}"
        )
    for name in names - {WEIGHTS}:
        path = folder / name
        if not path.is_file():
            raise ArtganError(f"{path}: not a file")
        if path.stat().st_size > _MAX_SMALL_BYTES:
            raise ArtganError(f"{path}: larger than {_MAX_SMALL_BYTES} bytes")
    return names


def _check_licence(folder: Path, model: Model) -> None:
    if weights_licence(model.card) is None:
        raise ArtganError(
            f'{folder / CONFIG}: names no licence; add "license": {{"weights": "apache-2.0"}}, or which you choose'
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
            f"{path}: names no licence in YAML between two lines of ---; add it, or remove the file and one is made"
        )


def _check_output(folder: Path, model: Model) -> None:
    """The model is in order, and its example is what it makes."""
    tensors = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise ArtganError(f"{folder / WEIGHTS}: holds weights that are not finite")
    if model.generator.task == "noise-to-image":
        noise = model.generator.noise(1, generator=torch.Generator().manual_seed(0))
        if not model.generator.generate(noise).isfinite().all():
            raise ArtganError(f"{folder}: the model's picture of noise is not finite")
        return
    given, shown = folder / EXAMPLE_INPUT, folder / EXAMPLE_OUTPUT
    if given.exists() != shown.exists():
        raise ArtganError(f"{folder}: holds one of {EXAMPLE_INPUT} and {EXAMPLE_OUTPUT}; remove it and both are made")
    if not given.exists():
        return
    painted, claimed = (np.asarray(image, np.float32) for image in (model.paint(given), decode(shown).rgb))
    if painted.shape != claimed.shape or np.abs(painted - claimed).mean() > _TOLERANCE:
        raise ArtganError(
            f"{shown}: not what the model paints of {EXAMPLE_INPUT}; remove both pictures and they are made anew"
        )
