"""Scores of folders of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from artgan import images, sheets
from artgan.data import PictureSet, open_pictures
from artgan.data.draws import centre_square
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError
from artgan.features import VGG19
from artgan.interfaces import Metric, Score
from artgan.metrics.extraction import Readable, extract, look_through
from artgan.metrics.extractors import NETWORKS, Extractor, load_extractor
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.perceptual import PerceptualMetric, load_perceptual
from artgan.plugin import resolve_metric

if TYPE_CHECKING:
    from artgan.metrics.artists import ArtistReport
    from artgan.metrics.neighbours import Gap
    from artgan.metrics.profile import Profile

_BATCH = 8
_SHUFFLE = 0  # seed: some metrics compare pictures that follow one another
_SHEET_ROWS, _SHEET_COLUMNS = 12, 4
_WANTED = {"real": "real pictures (--real DIR)", "inputs": "the photos that were painted (--photos DIR)"}

Location = str | Path | PictureSet


@dataclass(frozen=True)
class Evaluation:
    """What was found of one set of generated pictures.

    Attributes:
        fake: the set.
        scores: in the order in which they were asked for.
        failed: why a metric gave no score, by its name.
        skipped: why pictures of any set were left out, one line each.
        notes: what to beware of in the sets; a score has notes of its own.
    """

    fake: str
    scores: Sequence[Score]
    failed: Mapping[str, str]
    skipped: Sequence[str]
    notes: Sequence[str]


class Evaluator:
    """Scores sets of generated pictures, each against the same real ones.

    Sets are whatever :func:`artgan.data.open_pictures` takes. What cannot be read of them is left out and told.

    Args:
        real: pictures of the kind that was to be generated.
        inputs: what the generated ones were made from (photos), under the same names but for the suffix.
        weights: files of networks' weights, by the network: "inception", "vgg19", "dinov2".
        size: side of the middle square at which pictures are compared where a metric does not fix it, in pixels.
        limit: of pictures of each set, evenly over it.
        device: on which networks run.
        cache: whether features are kept for the next time.

    Raises:
        ConfigError: weights for a network that no metric has.
    """

    def __init__(
        self,
        *,
        real: Location | None = None,
        inputs: Location | None = None,
        weights: Mapping[str, Path] | None = None,
        size: int = 256,
        limit: int | None = None,
        device: Any = "cpu",
        cache: bool = True,
    ) -> None:
        self.real, self.inputs = real, inputs
        self.weights = dict(weights or {})
        self.size, self.limit, self.device, self.cache = size, limit, device, cache
        self._sets: dict[str, Readable] = {}
        self._features: dict[tuple[str, str], Tensor] = {}
        self._extractors: dict[str, Extractor] = {}
        self._perceptual: VGG19 | None = None
        if unknown := sorted(self.weights.keys() - set(NETWORKS.values())):
            raise ConfigError(f"weights of {unknown[0]!r}: there are {', '.join(dict.fromkeys(NETWORKS.values()))}")

    def evaluate(self, fake: Location, metrics: Sequence[str]) -> Evaluation:
        """Scores of generated pictures.

        Args:
            fake: the pictures.
            metrics: names of :data:`artgan.metrics.METRICS` and of those that plugins bring.

        Raises:
            PictureError: no picture of a set can be read.
            ConfigError: a metric needs a set that was not given.
            PluginError: no such metric, or it cannot be imported.
        """
        classes: dict[str, type[Metric]] = {name: resolve_metric(name) for name in dict.fromkeys(metrics)}
        for name, cls in classes.items():
            if {"real": self.real, "inputs": self.inputs}.get(cls.against, fake) is None:
                raise ConfigError(f"the score {name} needs {_WANTED[cls.against]}")
        given = {"real": self.real, "inputs": self.inputs, "fake": fake}
        sets = {kind: self._readable(location) for kind, location in given.items() if location is not None}
        scores: list[Score] = []
        failed: dict[str, str] = {}
        for name, cls in classes.items():
            try:
                scores += self._of_features(cls, sets) if issubclass(cls, FeatureMetric) else self._of(cls, sets)
            except (ValueError, WeightsError, ConfigError) as error:  # too few pictures, weights that are not there
                failed[name] = str(error)
            except ArtganError:
                raise
            except Exception as error:  # a stranger's metric may raise anything
                failed[name] = f"{type(error).__name__}: {error}"
        skipped = [problem for readable in sets.values() for problem in readable.skipped]
        return Evaluation(str(_name(fake)), scores, failed, skipped, self._notes(sets))

    def artists(self, classes: Mapping[str, Location], fakes: Sequence[Location]) -> ArtistReport:
        """For which artist's pictures the generated ones are taken; see :mod:`artgan.metrics.artists`.

        Args:
            classes: real pictures by the name of who painted them.
            fakes: sets of generated pictures.

        Raises:
            ConfigError: too few classes or pictures, or scikit-learn is missing.
        """
        from artgan.metrics.artists import classify

        def look(location: Location) -> Tensor:
            extractor = self._extractor("vgg19")
            return self._extracted(self._readable(location), extractor)[:, extractor.parts["style"]]

        try:
            return classify({n: look(x) for n, x in classes.items()}, {str(_name(x)): look(x) for x in fakes})
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def held_out_gap(self, fake: Location, held_out: Location) -> Gap:
        """Whether generated pictures are nearer to the real ones that were trained on than to others.

        Raises:
            ConfigError: no real pictures were given, or too few.
        """
        from artgan.metrics.neighbours import Memorisation, held_out_gap

        if self.real is None:
            raise ConfigError(f"the gap to held-out pictures needs {_WANTED['real']}")
        extractor = self._extractor(Memorisation.extractor_name)
        part = extractor.parts[Memorisation.part]
        try:
            return held_out_gap(
                *(self._extracted(self._readable(x), extractor)[:, part] for x in (fake, self.real, held_out))
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def draw_nearest(self, fake: Location, path: Path) -> None:
        """Write a sheet of the generated pictures that are nearest to a real one, each beside its nearest real ones.

        Raises:
            ConfigError: no real pictures were given.
            PictureError: the sheet cannot be written.
        """
        from artgan.metrics.neighbours import Memorisation, nearest_neighbours

        if self.real is None:
            raise ConfigError(f"a sheet of the nearest real pictures needs {_WANTED['real']}")
        images.check_writable(path, overwrite=True)
        extractor = self._extractor(Memorisation.extractor_name)
        part = extractor.parts[Memorisation.part]
        made, real = self._readable(fake), self._readable(self.real)
        features = [self._extracted(readable, extractor)[:, part] for readable in (made, real)]
        distances, places = nearest_neighbours(*features, count=min(_SHEET_COLUMNS, len(real)), unit=True)
        rows = {}
        for place in distances[:, 0].argsort()[:_SHEET_ROWS].tolist():
            found = [made.picture(place), *(real.picture(int(other)) for other in places[place])]
            rows[f"{made.names[place]}: {float(distances[place, 0]):.3f}"] = [
                centre_square(picture, self.size) for picture in found
            ]
        images.encode(sheets.sheet(rows, cell=self.size), path, overwrite=True)

    def profiles(self, sets: Mapping[str, Location]) -> dict[str, Profile]:
        """Palette, contrast and strokes of sets of pictures; see :mod:`artgan.metrics.profile`."""
        from artgan.metrics.profile import profile

        return {
            name: profile(self._readable(location).in_order("profile of"), size=self.size)
            for name, location in sets.items()
        }

    def _readable(self, location: Location) -> Readable:
        name = str(_name(location))
        if name not in self._sets:
            pictures = location if isinstance(location, PictureSet) else open_pictures(location)
            readable = look_through(pictures, limit=self.limit)
            if not len(readable):
                raise PictureError(f"{name}: none of its {len(pictures)} pictures can be read")
            self._sets[name] = readable
        return self._sets[name]

    def _extracted(self, readable: Readable, extractor: Extractor) -> Tensor:
        key = (readable.pictures.location, extractor.name)
        if key not in self._features:
            self._features[key] = extract(readable, extractor, cache=self.cache)
        return self._features[key]

    def _extractor(self, name: str) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = load_extractor(name, self.weights, size=self.size, device=self.device)
        return self._extractors[name]

    def _network(self) -> VGG19:
        if self._perceptual is None:
            self._perceptual = load_perceptual(self.weights.get("vgg19")).to(self.device)
        return self._perceptual

    def _of_features(self, cls: type[FeatureMetric], sets: Mapping[str, Readable]) -> Sequence[Score]:
        extractor = self._extractor(cls.extractor_name)
        part = extractor.parts[cls.part]
        wanted = ("real", "inputs", "fake") if cls.against == "real" else ("fake",)
        found = {kind: self._extracted(sets[kind], extractor)[:, part] for kind in wanted if kind in sets}
        return cls(extractor).judge(found.get("real", found["fake"][:0]), found["fake"], found.get("inputs"))

    def _of(self, cls: type[Metric], sets: Mapping[str, Readable]) -> Sequence[Score]:
        """The scores of a metric that looks at the pictures themselves: all of one size, in one shuffled order."""
        metric = cls(self._network()) if issubclass(cls, PerceptualMetric) else cls()
        orders: dict[str, Sequence[int]] = {}
        if cls.against == "inputs":
            orders["inputs"], orders["fake"] = pairs(sets["inputs"], sets["fake"])
        else:
            for kind in ("real", "fake") if cls.against == "real" else ("fake",):
                orders[kind] = np.random.default_rng(_SHUFFLE).permutation(len(sets[kind])).tolist()
        streams = [self._batches(sets[kind], cls.name, order) for kind, order in orders.items()]
        for turn in zip_longest(*streams):  # by turns, so that pairs can be compared as they come
            for kind, batch in zip(orders, turn, strict=True):
                if batch is not None:
                    metric.update(batch, real=kind != "fake")
        return metric.scores()

    def _batches(self, readable: Readable, what: str, order: Sequence[int]) -> Iterator[Tensor]:
        pictures = readable.in_order(f"{what} of", order)
        while batch := [images.to_tensor(centre_square(p, self.size)) for p in islice(pictures, _BATCH)]:
            yield torch.stack(batch).to(self.device)

    def _notes(self, sets: Mapping[str, Readable]) -> list[str]:
        """What is doubtful about the sets."""
        notes = []
        if "real" in sets and sets["real"].digest == sets["fake"].digest:
            notes.append("the real and the generated pictures are the same ones: scores of the two say nothing")
        for readable in sets.values():
            where, sides = readable.pictures.location, [min(size) for size in readable.sizes]
            if min(sides) < self.size:
                notes.append(
                    f"{where}: {sum(side < self.size for side in sides)} of {len(sides)} pictures are smaller than "
                    f"{self.size} px and are enlarged where scores compare at that size (--size); the smallest has "
                    f"{min(sides)}"
                )
            if len(set(readable.sizes)) > 1:
                notes.append(f"{where}: its pictures are of {len(set(readable.sizes))} sizes")
        return notes


def pairs(inputs: Readable, fake: Readable) -> tuple[list[int], list[int]]:
    """The places of pictures in both sets that have one name, but for the suffix.

    Raises:
        ConfigError: there are none.
    """
    places = {_stem(name): place for place, name in enumerate(inputs.names)}
    found = [(places[_stem(name)], place) for place, name in enumerate(fake.names) if _stem(name) in places]
    if not found:
        raise ConfigError(
            f"{inputs.pictures.location} and {fake.pictures.location} share no name (but for the suffix), so that "
            "nothing tells which painting is of which photo"
        )
    return [place for place, _ in found], [place for _, place in found]


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _name(location: Location) -> str | Path:
    return location.location if isinstance(location, PictureSet) else location
