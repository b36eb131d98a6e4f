"""Evaluation of sets of generated pictures."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from artgan import images, sheets
from artgan.data import PictureSet, open_pictures
from artgan.data.cluster import Cluster
from artgan.data.crops import center_square
from artgan.devices import usable_device
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError
from artgan.interfaces import Metric, Score
from artgan.metrics.extraction import Machines, Readable, extract, scan
from artgan.metrics.extractors import compares_at_size, load_extractor
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.names import resolve_metric
from artgan.metrics.scoring import MetricNetworks, given_files, reason, validated

if TYPE_CHECKING:
    from artgan.metrics.artists import ArtistReport
    from artgan.metrics.neighbors import Gap
    from artgan.metrics.profile import Profile

_BATCH, _BATCH_PIXELS = 8, 8 * 256**2  # pictures of 1,024 px come one by one: features take gigabytes
_SHUFFLE = 0  # seed: some metrics compare consecutive pictures
_SHEET_ROWS, _SHEET_COLUMNS = 12, 4
_WANTED = {"real": "real pictures (--real DIR)", "inputs": "the photos that were painted (--photos DIR)"}

Location = str | Path | PictureSet
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """The scores of one set of generated pictures.

    Attributes:
        fake: the set.
        scores: in the order of the metrics.
        failed: by metric, the reason why it has no score.
        notes: caveats about the sets; each score has its own notes as well.
    """

    fake: str
    scores: Sequence[Score]
    failed: Mapping[str, str]
    notes: Sequence[str]

    @property
    def warnings(self) -> list[str]:
        """All failures and notes."""
        return [
            *(f"{name}: no score: {why}" for name, why in self.failed.items()),
            *self.notes,
            *(f"{score.name}: {note}" for score in self.scores for note in score.notes),
        ]


@dataclass(frozen=True)
class Report:
    """The results of :meth:`Evaluator.report`.

    Attributes:
        real: the set of real pictures.
        evaluations: scores of each readable set of generated pictures.
        held_out: the gap to held-out pictures by set; None if it was not requested.
        artists: the classification by artist; None if it was not requested, or failed.
        artist_notes: caveats about the classification.
        nearest: sheets of nearest neighbors that were written, by set.
        profiles: image statistics of all sets, by name.
        skipped: why pictures were skipped, by set.
        failures: why other results are missing.
    """

    real: str | None
    evaluations: Sequence[Evaluation]
    held_out: Mapping[str, Gap] | None
    artists: ArtistReport | None
    artist_notes: Sequence[str]
    nearest: Mapping[str, Path]
    profiles: Mapping[str, Profile]
    skipped: Mapping[str, Sequence[str]]
    failures: Sequence[str]

    @property
    def complete(self) -> bool:
        """Whether all requested results are present and cover all pictures."""
        return not (self.failures or self.skipped or any(evaluation.failed for evaluation in self.evaluations))

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, without results that were not requested."""
        found: dict[str, Any] = {"real": self.real, "sets": [asdict(evaluation) for evaluation in self.evaluations]}
        if self.held_out is not None:
            found["held_out"] = {name: asdict(gap) for name, gap in self.held_out.items()}
        if self.artists is not None:
            found["artists"] = {**self.artists.to_dict(), "notes": self.artist_notes}
        if self.profiles:
            found["profiles"] = {name: profile.to_dict() for name, profile in self.profiles.items()}
        return {**found, "left_out": self.skipped, "troubles": self.failures}


class Evaluator:
    """Evaluates sets of generated pictures, each against the same real ones.

    A set is anything that :func:`artgan.data.open_pictures` accepts. Unreadable pictures are skipped, and listed in
    :attr:`skipped`.

    Args:
        real: real pictures.
        inputs: the photos that the generated pictures were made from, with the same names except for the suffix.
        vgg19, inception, dinov2: files of the networks' weights; by default those of the user's settings
            (:func:`artgan.settings.network_file`), or they are downloaded.
        size: side of the center square at which pictures are compared, in pixels, unless a metric fixes it.
        limit: number of pictures to use of each set, evenly over it; of the inputs, those of the generated pictures.
        device: on which networks run; the CPU by default.
        cache: whether features are cached on disk.
        cluster: whose machines read the pictures and extract the features; by default this process does.

    Raises:
        ArtganError: the device cannot be used.
    """

    def __init__(
        self,
        *,
        real: Location | None = None,
        inputs: Location | None = None,
        vgg19: str | Path | None = None,
        inception: str | Path | None = None,
        dinov2: str | Path | None = None,
        size: int = 256,
        limit: int | None = None,
        device: str | torch.device | None = None,
        cache: bool = True,
        cluster: Cluster | None = None,
    ) -> None:
        self.real, self.inputs = real, inputs
        self.size, self.limit, self.cache = size, limit, cache
        self.device = usable_device(device)
        files = given_files(vgg19=vgg19, inception=inception, dinov2=dinov2)
        self._networks = MetricNetworks(files, size=size, device=self.device)
        self._cluster, self._machines = cluster, None
        if cluster is not None:
            files = {network: file.absolute() for network, file in files.items()}
            load = partial(load_extractor, weights=files, size=size, device=self.device)
            self._machines = Machines(cluster, load, gpu=self.device.type == "cuda")
        self._sets: dict[str, Readable] = {}
        self._features: dict[tuple[str, str], Tensor] = {}

    @property
    def skipped(self) -> dict[str, Sequence[str]]:
        """Why pictures were skipped so far, by set."""
        return {name: readable.skipped for name, readable in self._sets.items() if readable.skipped}

    def scan(self, location: Location, *, like: Location | None = None) -> Readable:
        """Find the readable pictures of a set; the result is cached.

        Args:
            location: the set.
            like: a set whose names are preferred if there is a limit.

        Raises:
            PictureError: there is no such set, or none of its pictures can be read.
        """
        name = _name(location)
        if name not in self._sets:
            pictures = location if isinstance(location, PictureSet) else open_pictures(location)
            for found in pictures.passed_over:
                if found.unexpected:
                    _log.warning("artgan: %s: passed over %s", name, found)
            stems = None if like is None else set(map(_stem, self.scan(like).names))
            readable = scan(
                pictures,
                limit=self.limit,
                wanted=lambda name: stems is None or _stem(name) in stems,
                cluster=self._cluster,
            )
            if not len(readable):
                raise PictureError(f"{name}: none of its {len(pictures)} pictures can be read")
            self._sets[name] = readable
        return self._sets[name]

    def scan_all(self, *locations: Location | None) -> None:
        """Scan several sets, so that errors appear before any work; raises the same errors as :meth:`scan`."""
        for location in locations:
            if location is not None:
                self.scan(location)

    def report(
        self,
        fakes: Sequence[Location],
        metrics: Sequence[str] = (),
        *,
        artists: Mapping[str, Location] | None = None,
        held_out: Location | None = None,
        nearest: Path | None = None,
        profile: Path | None = None,
        overwrite: bool = False,
    ) -> Report:
        """Evaluate several sets. A set or a result that fails does not stop the others.

        Args:
            fakes: sets of generated pictures.
            metrics: see :meth:`evaluate`.
            artists: real pictures of at least two artists, for :meth:`classify_artists`.
            held_out: real pictures that were not trained on, for :meth:`held_out_gap`.
            nearest: a file for :meth:`draw_nearest`; with several sets, the files are numbered.
            profile: a file for a plot of the profiles of all sets.
            overwrite: whether existing files are replaced.

        Raises:
            ConfigError: nothing is requested, or a result needs a set that is missing.
            PictureError: a file cannot be written; there is no such set, or none of its pictures can be read.
            PluginError: there is no such metric, or it cannot be imported.
            ArtganError: no set of generated pictures can be read.
        """
        artists = artists or {}
        self._check_request(metrics, artists, held_out, nearest, profile)
        sheets_of = dict(zip(map(_name, fakes), _numbered(nearest, len(fakes)), strict=True)) if nearest else {}
        for path in filter(None, (*sheets_of.values(), profile)):
            images.check_writable(path, overwrite=overwrite)
        self.scan_all(self.real, held_out, *artists.values())

        failures: list[str] = []
        scanned = _by_set("not scored", self.scan, fakes, failures)
        if not scanned:
            raise ArtganError("; ".join(failure.removeprefix("not scored: ") for failure in failures))
        readable = [fake for fake in fakes if _name(fake) in scanned]
        evaluations = [self.evaluate(fake, metrics) for fake in readable]
        gaps: dict[str, Gap] | None = None
        if held_out is not None:
            gaps = _by_set("--held-out", lambda fake: self.held_out_gap(fake, held_out), readable, failures)
        classified: ArtistReport | None = None
        notes: list[str] = []
        if artists:
            with collect_errors(failures, "--artist: "):
                classified, notes = self.classify_artists(artists, readable)

        def draw(fake: Location) -> Path:
            self.draw_nearest(fake, sheets_of[_name(fake)], overwrite=overwrite)
            return sheets_of[_name(fake)]

        return Report(
            real=None if self.real is None else _name(self.real),
            evaluations=evaluations,
            held_out=gaps,
            artists=classified,
            artist_notes=notes,
            nearest=_by_set("--nearest", draw, readable if nearest else (), failures),
            profiles={} if profile is None else self._draw_profiles(profile, artists, readable, failures),
            skipped=self.skipped,
            failures=failures,
        )

    def evaluate(self, fake: Location, metrics: Sequence[str]) -> Evaluation:
        """Score one set of generated pictures.

        Args:
            fake: the set.
            metrics: names from :data:`artgan.metrics.METRICS`, or of plugins' metrics.

        Raises:
            PictureError: there is no such set, or none of its pictures can be read.
            ConfigError: a metric needs a set that was not given.
            PluginError: there is no such metric, or it cannot be imported.
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
            except (ValueError, WeightsError, ConfigError) as error:  # too few pictures, missing weights
                failed[name] = reason(error)
            except ArtganError:
                raise
            except (Exception, SystemExit) as error:  # a plugin's metric may raise anything
                failed[name] = reason(error)
        if any(_compares_at_size(cls) for cls in classes.values()):
            notes += self._notes_on_sizes(sets)
        return Evaluation(_name(fake), scores, failed, notes)

    def classify_artists(
        self, classes: Mapping[str, Location], fakes: Sequence[Location]
    ) -> tuple[ArtistReport, list[str]]:
        """Attribute generated pictures to artists with a classifier; returns the result and caveats.

        Args:
            classes: real pictures by artist.
            fakes: sets of generated pictures.

        Raises:
            ConfigError: too few classes or pictures, or scikit-learn is missing.
            PictureError: there is no such set, or none of its pictures can be read.
            WeightsError: VGG-19's weights cannot be downloaded or read.
        """
        from artgan.metrics.artists import classify

        known = {name: self.scan(location) for name, location in classes.items()}
        asked = {_name(fake): self.scan(fake) for fake in fakes}
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
        """How much nearer generated pictures are to the real ones, taken as training pictures, than to held-out ones.

        Raises:
            ConfigError: no real pictures were given, too few, or the same as the held-out ones.
            PictureError: there is no such set, or none of its pictures can be read.
            WeightsError: the extractor's weights cannot be downloaded or read.
        """
        from artgan.metrics.neighbors import Memorization, held_out_gap

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
        """Draw the generated pictures that are nearest to a real one, each next to its nearest real ones.

        Raises:
            ConfigError: no real pictures were given.
            PictureError: the sheet cannot be written or already exists; a set cannot be read.
            WeightsError: the extractor's weights cannot be downloaded or read.
        """
        from artgan.metrics.neighbors import Memorization, nearest_neighbors

        images.check_writable(path, overwrite=overwrite)
        made, real = self.scan(fake), self._real("a sheet of the nearest real pictures")
        features = [self._extracted(x, Memorization.extractor_name, Memorization.part) for x in (made, real)]
        distances, places = nearest_neighbors(*features, count=min(_SHEET_COLUMNS, len(real)), unit=True)
        rows = {}
        for place in distances[:, 0].argsort()[:_SHEET_ROWS].tolist():
            found = [made.picture(place), *(real.picture(int(other)) for other in places[place])]
            rows[f"{made.names[place]}: {float(distances[place, 0]):.3f}"] = [
                self._square(picture) for picture in found
            ]
        images.encode(sheets.sheet(rows, cell=self.size), path, overwrite=overwrite)

    def profile(self, location: Location) -> Profile:
        """Image statistics of a set; see :mod:`artgan.metrics.profile`.

        Raises:
            ConfigError: the size is less than 64.
            PictureError: there is no such set, or none of its pictures can be read.
        """
        from artgan.metrics.profile import profile

        return profile(self.scan(location).each("profile of", self._square), size=self.size)

    def _check_request(
        self,
        metrics: Sequence[str],
        artists: Mapping[str, Location],
        held_out: Location | None,
        nearest: Path | None,
        profile: Path | None,
    ) -> None:
        if not (metrics or artists or held_out or nearest or profile):
            raise ConfigError(
                "nothing is requested: name --metrics, or give --artist, --held-out, --nearest or --profile"
            )
        if self.real is None and (held_out or nearest):
            raise ConfigError("--held-out and --nearest compare with real pictures: give --real DIR")
        if len(artists) == 1:
            raise ConfigError("give --artist for two artists or more, to distinguish between them")
        if profile is not None and self.size < 64:
            raise ConfigError("--profile measures strokes of up to 64 pixels: --size must be at least that")

    def _draw_profiles(
        self, path: Path, artists: Mapping[str, Location], fakes: Sequence[Location], failures: list[str]
    ) -> dict[str, Profile]:
        """Draw the profiles of all sets; an error is appended to ``failures``."""
        from artgan.metrics.profile_plot import draw

        profiles: dict[str, Profile] = {}
        with collect_errors(failures, "--profile: "):
            profiles = self._profiles(artists, fakes)
            draw(profiles, path)
        return profiles

    def _profiles(self, artists: Mapping[str, Location], fakes: Sequence[Location]) -> dict[str, Profile]:
        """Profiles of all sets: by artist, the others by file name if it is unique, otherwise by path."""
        known = [_name(location) for location in artists.values()]
        others = {_name(s): s for s in (self.real, self.inputs, *fakes) if s is not None and _name(s) not in known}
        counts = Counter([*artists, *(Path(name).name for name in others)])
        short = {Path(name).name if counts[Path(name).name] == 1 else name: s for name, s in others.items()}
        return {name: self.profile(location) for name, location in {**artists, **short}.items()}

    def _real(self, what: str) -> Readable:
        if self.real is None:
            raise ConfigError(f"{what} needs {_WANTED['real']}")
        return self.scan(self.real)

    def _square(self, picture: Image.Image) -> Image.Image:
        return center_square(picture, self.size)

    def _extracted(self, readable: Readable, extractor: str, part: str) -> Tensor:
        key = (readable.pictures.location, extractor)
        network = self._networks.extractor(extractor)
        if key not in self._features:
            self._features[key] = extract(readable, network, cache=self.cache, machines=self._machines)
        return self._features[key][:, network.parts[part]]

    def _of_features(self, metric: FeatureMetric, sets: Mapping[str, Readable]) -> Sequence[Score]:
        wanted = ["fake"]
        if metric.against == "real":
            wanted += ["real", "inputs"] if metric.wants_inputs else ["real"]
        found = {
            kind: self._extracted(sets[kind], metric.extractor_name, metric.part) for kind in wanted if kind in sets
        }
        if metric.wants_origins and "real" in sets:
            metric.origins = _origins(sets["real"], sets["fake"])
        return metric.evaluate(found.get("real", found["fake"][:0]), found["fake"], found.get("inputs"))

    def _of_pictures(self, metric: Metric, sets: Mapping[str, Readable], notes: list[str]) -> Sequence[Score]:
        """Scores of a metric on pictures, which are resized to one size and shuffled."""
        orders: dict[str, Sequence[int]] = {}
        if metric.against == "inputs":
            orders["inputs"], orders["fake"] = pairs(sets["inputs"], sets["fake"])
            if alone := len(sets["fake"]) - len(orders["fake"]):
                notes.append(f"{alone} of {len(sets['fake'])} paintings have no photo of the same name: skipped")
        else:
            for kind in ("real", "fake") if metric.against == "real" else ("fake",):
                orders[kind] = np.random.default_rng(_SHUFFLE).permutation(len(sets[kind])).tolist()
        streams = [self._batches(sets[kind], metric.name, order) for kind, order in orders.items()]
        for turn in zip_longest(*streams):  # in turn, so that pairs can be compared as they come
            for kind, batch in zip(orders, turn, strict=True):
                if batch is not None:
                    metric.update(batch, real=kind != "fake")
        return metric.scores()

    def _batches(self, readable: Readable, what: str, order: Sequence[int]) -> Iterator[Tensor]:
        pictures = readable.each(f"{what} of", lambda picture: images.to_tensor(self._square(picture)), order)
        count = max(1, min(_BATCH, _BATCH_PIXELS // self.size**2))
        while batch := list(islice(pictures, count)):
            yield torch.stack(batch).to(self.device)

    @staticmethod
    def _notes(sets: Mapping[str, Readable]) -> list[str]:
        """Caveats about the sets: copies, and pictures of several sizes."""
        notes = []
        if "real" in sets and (both := _shared(sets["fake"], sets["real"])):
            count = len(sets["fake"])
            if both == count:
                notes.append(
                    "the generated pictures are all among the real ones: scores comparing the two are meaningless"
                )
            else:
                notes.append(f"{both} of {count} generated pictures are byte-identical to real ones")
        for readable in sets.values():
            if len(kinds := set(readable.sizes)) > 1:
                notes.append(f"{readable.pictures.location}: its pictures are of {len(kinds)} sizes")
        return notes

    def _notes_on_sizes(self, sets: Mapping[str, Readable]) -> list[str]:
        """Caveats about sets whose pictures are enlarged."""
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
    """Indices of pictures with the same name in both sets, except for the suffix.

    Raises:
        ConfigError: there are none, or a name is repeated in a set.
    """
    for readable in (inputs, fake):
        stem, count = Counter(map(_stem, readable.names)).most_common(1)[0]
        if count > 1:
            raise ConfigError(f"{readable.pictures.location}: {count} pictures are named {stem}, except for the suffix")
    places = {_stem(name): place for place, name in enumerate(inputs.names)}
    found = [(places[_stem(name)], place) for place, name in enumerate(fake.names) if _stem(name) in places]
    if not found:
        raise ConfigError(
            f"{inputs.pictures.location} and {fake.pictures.location} share no name (except for the suffix), so "
            "paintings cannot be matched with photos"
        )
    return [place for place, _ in found], [place for _, place in found]


def _origins(real: Readable, fake: Readable) -> list[int | None]:
    """For each generated picture the index of the real one of its content, or else of its name, or None."""
    contents = {content: place for place, content in enumerate(real.contents)}
    stems = {_stem(name): place for place, name in enumerate(real.names)}
    return [
        contents.get(content, stems.get(_stem(name))) for content, name in zip(fake.contents, fake.names, strict=True)
    ]


def _compares_at_size(cls: type[Metric]) -> bool:
    """Whether pictures are resized to the size that the user sets."""
    return not issubclass(cls, FeatureMetric) or compares_at_size(cls.extractor_name)


def _shared(some: Readable, others: Readable) -> int:
    """How many pictures of a set are also in another, byte for byte."""
    known = set(others.contents)
    return sum(content in known for content in some.contents)


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _name(location: Location) -> str:
    return location.location if isinstance(location, PictureSet) else str(location)


def _numbered(path: Path, count: int) -> list[Path]:
    """A file for each of ``count`` sets."""
    return [path] if count == 1 else [path.with_name(f"{path.stem}-{i + 1}{path.suffix}") for i in range(count)]


def _by_set(what: str, work: Callable[[Location], _T], sets: Sequence[Location], failures: list[str]) -> dict[str, _T]:
    """The result for each set by its name; a set that fails is left out, and its error appended to ``failures``."""
    found: dict[str, _T] = {}
    for name, location in {_name(location): location for location in sets}.items():
        with collect_errors(failures, f"{what}: "):
            found[name] = work(location)
    return found


@contextmanager
def collect_errors(failures: list[str], prefix: str = "") -> Iterator[None]:
    """Append the message of an ArtganError to ``failures`` instead of raising it."""
    try:
        yield
    except ArtganError as error:
        failures.append(f"{prefix}{error}")
