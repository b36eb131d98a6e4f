"""Scores of folders of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from artgan import images
from artgan.data import PictureSet, open_pictures
from artgan.data.crops import centre_square
from artgan.devices import usable_device
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError
from artgan.interfaces import Metric, Score
from artgan.metrics import NETWORKS
from artgan.metrics.extraction import Readable, extract, scan
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.names import resolve_metric
from artgan.metrics.scoring import MetricNetworks, reason, validated
from artgan.reports import sheets

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
        notes: what to beware of in the sets; a score has notes of its own.
    """

    fake: str
    scores: Sequence[Score]
    failed: Mapping[str, str]
    notes: Sequence[str]


class Evaluator:
    """Scores sets of generated pictures, each against the same real ones.

    Sets are whatever :func:`artgan.data.open_pictures` takes. What cannot be read of them is left out and told
    (:attr:`skipped`).

    Args:
        real: pictures of the kind that was to be generated.
        inputs: what the generated ones were made from (photos), under the same names but for the suffix.
        weights: files of networks' weights, by the network: see :data:`artgan.metrics.NETWORKS`.
        size: side of the middle square at which pictures are compared where a metric does not fix it, in pixels.
        limit: of pictures of each set, evenly over it; of the inputs those of the generated ones.
        device: on which networks run; the CPU by default.
        cache: whether features are kept for the next time.

    Raises:
        ConfigError: weights for a network that no metric has.
        ArtganError: the device cannot be used.
    """

    def __init__(
        self,
        *,
        real: Location | None = None,
        inputs: Location | None = None,
        weights: Mapping[str, Path] | None = None,
        size: int = 256,
        limit: int | None = None,
        device: str | torch.device | None = None,
        cache: bool = True,
    ) -> None:
        self.real, self.inputs = real, inputs
        self.size, self.limit, self.cache = size, limit, cache
        self.device = usable_device(device)
        if unknown := sorted((weights or {}).keys() - set(NETWORKS)):
            raise ConfigError(f"weights of {unknown[0]!r}: there are {', '.join(NETWORKS)}")
        self._networks = MetricNetworks(dict(weights or {}), size=size, device=self.device)
        self._sets: dict[str, Readable] = {}
        self._features: dict[tuple[str, str], Tensor] = {}

    @property
    def skipped(self) -> dict[str, Sequence[str]]:
        """Why pictures were left out so far, by the set that they are of."""
        return {name: readable.skipped for name, readable in self._sets.items() if readable.skipped}

    def scan(self, location: Location, *, like: Location | None = None) -> Readable:
        """Look a set through once; what is asked of it later begins with that.

        Args:
            location: the set.
            like: a set of the same names, whose pictures are wanted first where there is a limit.

        Raises:
            PictureError: there is none, or no picture of it can be read.
        """
        name = str(_name(location))
        if name not in self._sets:
            pictures = location if isinstance(location, PictureSet) else open_pictures(location)
            stems = None if like is None else set(map(_stem, self.scan(like).names))
            readable = scan(pictures, limit=self.limit, wanted=lambda name: stems is None or _stem(name) in stems)
            if not len(readable):
                raise PictureError(f"{name}: none of its {len(pictures)} pictures can be read")
            self._sets[name] = readable
        return self._sets[name]

    def evaluate(self, fake: Location, metrics: Sequence[str]) -> Evaluation:
        """Scores of generated pictures.

        Args:
            fake: the pictures.
            metrics: names of :data:`artgan.metrics.METRICS` and of those that plugins bring.

        Raises:
            PictureError: there is no such set, or no picture of it can be read.
            ConfigError: a metric needs a set that was not given.
            PluginError: no such metric, or it cannot be imported.
        """
        classes: dict[str, type[Metric]] = {name: resolve_metric(name) for name in dict.fromkeys(metrics)}
        for name, cls in classes.items():
            if {"real": self.real, "inputs": self.inputs}.get(cls.against, fake) is None:
                raise ConfigError(f"the score {name} needs {_WANTED[cls.against]}")
        sets = {"fake": self.scan(fake)}
        if self.real is not None:
            sets["real"] = self.scan(self.real)
        if self.inputs is not None:
            sets["inputs"] = self.scan(self.inputs, like=fake)
        scores: list[Score] = []
        failed: dict[str, str] = {}
        notes = self._notes(sets)
        for name, cls in classes.items():
            try:
                metric = self._networks.metric(cls)
                if isinstance(metric, FeatureMetric):
                    found = self._of_features(metric, sets)
                else:
                    found = self._of_pictures(metric, sets, notes)
                scores += validated(found)
            except (ValueError, WeightsError, ConfigError) as error:  # too few pictures, weights that are not there
                failed[name] = reason(error)
            except ArtganError:
                raise
            except (Exception, SystemExit) as error:  # a stranger's metric may raise anything
                failed[name] = reason(error)
        if any(_compares_at_size(cls) for cls in classes.values()):
            notes += self._notes_on_sizes(sets)
        return Evaluation(str(_name(fake)), scores, failed, notes)

    def classify_artists(
        self, classes: Mapping[str, Location], fakes: Sequence[Location]
    ) -> tuple[ArtistReport, list[str]]:
        """For which artist's pictures the generated ones are taken, and what to beware of.

        Args:
            classes: real pictures by the name of who painted them.
            fakes: sets of generated pictures.

        Raises:
            ConfigError: too few classes or pictures, or scikit-learn is missing.
            PictureError: there is no such set, or no picture of it can be read.
            WeightsError: VGG-19's weights cannot be fetched or read.
        """
        from artgan.metrics.artists import classify

        known = {name: self.scan(location) for name, location in classes.items()}
        asked = {str(_name(fake)): self.scan(fake) for fake in fakes}
        notes = [
            f"{both} of {len(readable)} pictures of {fake} are among {name}'s own, which the classifier has learned"
            for fake, readable in asked.items()
            for name, own in known.items()
            if (both := _shared(readable, own))
        ]
        try:
            report = classify(
                *({n: self._extracted(r, "vgg19", "style") for n, r in sets.items()} for sets in (known, asked))
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return report, notes

    def held_out_gap(self, fake: Location, held_out: Location) -> Gap:
        """Whether generated pictures are nearer to the real ones that were trained on than to others.

        Raises:
            ConfigError: no real pictures were given, too few, or the same as those that were held out.
            PictureError: there is no such set, or no picture of it can be read.
            WeightsError: the extractor's weights cannot be fetched or read.
        """
        from artgan.metrics.neighbours import Memorization, held_out_gap

        real, other = self._real("the gap to held-out pictures"), self.scan(held_out)
        if both := _shared(other, real):
            raise ConfigError(
                f"{both} of {len(other)} held-out pictures are among the real ones: they were not held out"
            )
        sets = (self.scan(fake), real, other)
        try:
            return held_out_gap(*(self._extracted(x, Memorization.extractor_name, Memorization.part) for x in sets))
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def draw_nearest(self, fake: Location, path: Path, *, overwrite: bool = False) -> None:
        """Write a sheet of the generated pictures that are nearest to a real one, each beside its nearest real ones.

        Raises:
            ConfigError: no real pictures were given.
            PictureError: the sheet cannot be written, or is there already; a set cannot be read.
            WeightsError: the extractor's weights cannot be fetched or read.
        """
        from artgan.metrics.neighbours import Memorization, nearest_neighbors

        images.check_writable(path, overwrite=overwrite)
        made, real = self.scan(fake), self._real("a sheet of the nearest real pictures")
        features = [self._extracted(x, Memorization.extractor_name, Memorization.part) for x in (made, real)]
        distances, places = nearest_neighbors(*features, count=min(_SHEET_COLUMNS, len(real)), unit=True)
        rows = {}
        for place in distances[:, 0].argsort()[:_SHEET_ROWS].tolist():
            found = [made.picture(place), *(real.picture(int(other)) for other in places[place])]
            rows[f"{made.names[place]}: {float(distances[place, 0]):.3f}"] = [
                centre_square(picture, self.size) for picture in found
            ]
        images.encode(sheets.sheet(rows, cell=self.size), path, overwrite=overwrite)

    def profile(self, location: Location) -> Profile:
        """Palette, contrast and strokes of a set of pictures; see :mod:`artgan.metrics.profile`.

        Raises:
            ConfigError: the size is less than 64.
            PictureError: there is no such set, or no picture of it can be read.
        """
        from artgan.metrics.profile import profile

        return profile(self.scan(location).each("profile of", self._square), size=self.size)

    def _real(self, what: str) -> Readable:
        if self.real is None:
            raise ConfigError(f"{what} needs {_WANTED['real']}")
        return self.scan(self.real)

    def _square(self, picture: Image.Image) -> Image.Image:
        return centre_square(picture, self.size)

    def _extracted(self, readable: Readable, extractor: str, part: str) -> Tensor:
        key = (readable.pictures.location, extractor)
        network = self._networks.extractor(extractor)
        if key not in self._features:
            self._features[key] = extract(readable, network, cache=self.cache)
        return self._features[key][:, network.parts[part]]

    def _of_features(self, metric: FeatureMetric, sets: Mapping[str, Readable]) -> Sequence[Score]:
        wanted = ["fake"]
        if metric.against == "real":
            wanted += ["real", "inputs"] if metric.wants_inputs else ["real"]
        found = {
            kind: self._extracted(sets[kind], metric.extractor_name, metric.part) for kind in wanted if kind in sets
        }
        return metric.evaluate(found.get("real", found["fake"][:0]), found["fake"], found.get("inputs"))

    def _of_pictures(self, metric: Metric, sets: Mapping[str, Readable], notes: list[str]) -> Sequence[Score]:
        """The scores of a metric that looks at the pictures themselves: all of one size, in one shuffled order."""
        orders: dict[str, Sequence[int]] = {}
        if metric.against == "inputs":
            orders["inputs"], orders["fake"] = pairs(sets["inputs"], sets["fake"])
            if alone := len(sets["fake"]) - len(orders["fake"]):
                notes.append(f"{alone} of {len(sets['fake'])} paintings have no photo of their name: they are left out")
        else:
            for kind in ("real", "fake") if metric.against == "real" else ("fake",):
                orders[kind] = np.random.default_rng(_SHUFFLE).permutation(len(sets[kind])).tolist()
        streams = [self._batches(sets[kind], metric.name, order) for kind, order in orders.items()]
        for turn in zip_longest(*streams):  # by turns, so that pairs can be compared as they come
            for kind, batch in zip(orders, turn, strict=True):
                if batch is not None:
                    metric.update(batch, real=kind != "fake")
        return metric.scores()

    def _batches(self, readable: Readable, what: str, order: Sequence[int]) -> Iterator[Tensor]:
        pictures = readable.each(f"{what} of", lambda picture: images.to_tensor(self._square(picture)), order)
        while batch := list(islice(pictures, _BATCH)):
            yield torch.stack(batch).to(self.device)

    @staticmethod
    def _notes(sets: Mapping[str, Readable]) -> list[str]:
        """What is doubtful about the sets: copies, and pictures of many sizes."""
        notes = []
        if "real" in sets and (both := _shared(sets["fake"], sets["real"])):
            count = len(sets["fake"])
            if both == count:
                notes.append("the generated pictures are all among the real ones: scores of the two say nothing")
            else:
                notes.append(f"{both} of {count} generated pictures are among the real ones, to the byte")
        for readable in sets.values():
            if len(kinds := set(readable.sizes)) > 1:
                notes.append(f"{readable.pictures.location}: its pictures are of {len(kinds)} sizes")
        return notes

    def _notes_on_sizes(self, sets: Mapping[str, Readable]) -> list[str]:
        """Which sets are enlarged to be compared."""
        notes = []
        for readable in sets.values():
            sides = [min(size) for size in readable.sizes]
            if smaller := sum(side < self.size for side in sides):
                notes.append(
                    f"{readable.pictures.location}: {smaller} of {len(sides)} pictures are smaller than {self.size} px "
                    f"and are enlarged where scores compare at that size (--size); the smallest has {min(sides)}"
                )
        return notes


def pairs(inputs: Readable, fake: Readable) -> tuple[list[int], list[int]]:
    """The places of pictures in both sets that have one name, but for the suffix.

    Raises:
        ConfigError: there are none, or one of them twice in a set.
    """
    for readable in (inputs, fake):
        stem, count = Counter(map(_stem, readable.names)).most_common(1)[0]
        if count > 1:
            raise ConfigError(f"{readable.pictures.location}: {count} pictures are named {stem}, but for the suffix")
    places = {_stem(name): place for place, name in enumerate(inputs.names)}
    found = [(places[_stem(name)], place) for place, name in enumerate(fake.names) if _stem(name) in places]
    if not found:
        raise ConfigError(
            f"{inputs.pictures.location} and {fake.pictures.location} share no name (but for the suffix), so that "
            "nothing tells which painting is of which photo"
        )
    return [place for place, _ in found], [place for _, place in found]


def _compares_at_size(cls: type[Metric]) -> bool:
    """Whether pictures are brought to the size that the user may set."""
    return not issubclass(cls, FeatureMetric) or cls.extractor_name in ("vgg19", "filters")


def _shared(some: Readable, others: Readable) -> int:
    """How many of some pictures are among others, byte for byte."""
    known = set(others.contents)
    return sum(content in known for content in some.contents)


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _name(location: Location) -> str | Path:
    return location.location if isinstance(location, PictureSet) else location
