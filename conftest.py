"""Seeds of the tests of numbers, which ``ARTGAN_TEST_SEED`` shifts (``scripts/portable.sh`` runs them with several),
where compiled networks are kept, and which of the conformance kit's tests are slow.
"""

from __future__ import annotations

import gc
import getpass
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

# Apart by version: headers that another version of PyTorch has precompiled in a common folder fail to compile.
COMPILED = Path(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}_{version('torch')}")
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(COMPILED))

SHIFT = 1000 * int(os.environ.get("ARTGAN_TEST_SEED", "0"))


SLOW = {
    "test_models_make_the_picture_of_their_check",
    "test_a_resumed_run_ends_as_one_that_never_stopped",
    "test_photos_are_painted_over_strokes",
    "test_the_command_line_shows_every_option",
    "test_the_command_line_shows_every_painting_option",
}
"""The conformance kit's; it marks nothing itself, as its tests are run by other projects too."""


gc.disable()  # what is imported and collected stays: looking through it takes seconds in each worker


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def seeds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test marked ``numerical`` begins with seeded generators, and every seed that it sets is shifted.

    Fixtures of a wider scope draw before that, from the seeds that they name; so do other processes.
    """
    if request.node.get_closest_marker("numerical") is None:
        return
    import numpy as np
    import torch

    torch.manual_seed(SHIFT)
    if not SHIFT:
        return
    manual_seed, default_rng = torch.manual_seed, np.random.default_rng

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + SHIFT)

    def shifted(seed: object = None) -> np.random.Generator:
        return default_rng(seed + SHIFT if isinstance(seed, int) else seed)

    monkeypatch.setattr(torch, "manual_seed", lambda seed: manual_seed(seed + SHIFT))
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(np.random, "default_rng", shifted)
