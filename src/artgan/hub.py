"""The seam to the Hugging Face Hub: where models that no distribution bundles will come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from artgan.errors import WeightsError


def fetch(
    repo_id: str, revision: str | None, files: Sequence[str], *, cache_dir: str | Path | None, local_files_only: bool
) -> Path:
    """The local folder that holds ``files`` of a repository at a commit.

    Raises:
        WeightsError: always, in this version: it loads bundled weights and local folders only.
    """
    raise WeightsError(
        f"{repo_id}: this version of artgan does not fetch from the Hub yet; "
        f"download {' and '.join(files)} into a folder and load it as 'local-dir:PATH'"
    )
