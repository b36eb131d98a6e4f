"""The seam to the Hugging Face Hub: where weights that no distribution bundles will come from."""

from __future__ import annotations

from pathlib import Path

from artgan.errors import WeightsError
from artgan.registry import HubFile


def fetch(weights: HubFile, *, cache_dir: str | Path | None, local_files_only: bool) -> Path:
    """The local path of a file on the Hub.

    Raises:
        WeightsError: always, in this version: it loads bundled weights and local folders only.
    """
    raise WeightsError(
        f"{weights.repo_id}@{weights.revision}: this version of artgan does not fetch from the Hub yet; "
        "download the repository and load it as 'local-dir:PATH'"
    )
