"""Pictures kept out of training, for scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from artgan.data import PictureSet
from artgan.data.pictures import Subset, evenly
from artgan.errors import TrainingError
from artgan.training.options import TrainingOptions


def split(
    domains: Mapping[str, PictureSet],
    options: TrainingOptions,
    before: Mapping[str, Sequence[str] | None] | None = None,
) -> tuple[dict[str, PictureSet], dict[str, PictureSet]]:
    """The pictures of each domain to draw from, and those held out, evenly spread over the set; none without them.

    Args:
        domains: the sets.
        options: of the run.
        before: by domain, the names of those that a resumed run has held out so far: they stay so, and no others join.

    Raises:
        TrainingError: a set is too small for a batch of the pictures that are left.
    """
    drawn: dict[str, PictureSet] = dict(domains)
    apart: dict[str, PictureSet] = {}
    count = options.held_out
    for name, pictures in domains.items():
        have, left = len(pictures), len(pictures) - count
        if count and left < 1:
            raise TrainingError(f"--held-out {count}: {pictures.location} has only {have} pictures")
        if left < options.batch:
            but = f", {left} without those of --held-out {count}" if count else ""
            raise TrainingError(f"--batch {options.batch}: {pictures.location} has only {have} pictures{but}")
        if count:
            names = (before or {}).get(name)
            chosen = evenly(have, count) if names is None else _places(pictures, names)
            if len(chosen) < 2:
                raise TrainingError(f"--held-out {count}: of these, {len(chosen)} are left in {pictures.location}")
            others = sorted(set(range(have)).difference(chosen))
            drawn[name], apart[name] = Subset(pictures, others), Subset(pictures, chosen)
    return drawn, apart


def _places(pictures: PictureSet, names: Sequence[str]) -> list[int]:
    wanted = frozenset(names)
    return [index for index, name in enumerate(pictures.names) if name in wanted]
