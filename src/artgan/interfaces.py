"""The four ideas that every plugin shares: Generator, Discriminator, Trainer and Metric.

This module knows no other part of artgan. Pictures are float tensors of shape N x 3 x H x W (RGB) with values
in [-1, 1] wherever a tensor is called a picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

Task = Literal["image-to-image", "noise-to-image"]


class Interrupted(KeyboardInterrupt):
    """The user has pressed Ctrl-C, and a model that makes its pictures step by step has something to show by then.

    Attributes:
        made: of the pictures that it came to, the first ones of a batch, what would have been returned: from
            :meth:`Generator.generate` N x 3 x H x W pictures in [-1, 1], from :func:`artgan.painting.paint_batch`
            finished paintings.
    """

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.made = made


class Generator(nn.Module, ABC):
    """A network that makes pictures, from pictures or from noise.

    Attributes:
        task: what goes in: ``"image-to-image"`` (pictures) or ``"noise-to-image"`` (N x Z noise vectors).
        stride: height and width of an input picture must be multiples of this many pixels; callers pad.
            Meaningless for noise.
        minimum_size: the least height and width, in pixels, that the network accepts.
        noise_size: length Z of a noise vector; 0 where pictures go in.
        one_at_a_time: whether it gains nothing from several pictures in one call; then callers give it one.
        memory_per_pixel: bytes of working memory that a pixel takes in float32, roughly; 0 if not known. Callers
            refuse a picture that would not fit, where the system would kill the process.
        reach: how far from a painted pixel, in pixels, the input matters to it, but for the means and variances over
            the whole picture that :class:`torch.nn.InstanceNorm2d` takes; None if there is no such bound. A picture
            can be painted in tiles that overlap by it.
        thread_safe: whether threads may run it at the same time, each on pictures of its own: in evaluation its forward
            changes nothing that it keeps. Small pictures are then painted several at once, which on a CPU is faster.
    """

    task: ClassVar[Task] = "image-to-image"
    stride: int = 1
    minimum_size: int = 1
    noise_size: int = 0
    one_at_a_time: bool = False
    memory_per_pixel: int = 0
    reach: int | None = None
    thread_safe: bool = False

    def noise(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``count`` x Z noise vectors for :meth:`forward`, drawn on the CPU: standard normal, unless overridden."""
        return torch.randn(count, self.noise_size, generator=generator)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map N x 3 x H x W pictures (or N x Z noise) to N x 3 x H x W pictures in [-1, 1].

        The output has the dtype and device of the input, and for pictures its height and width.
        Row ``i`` of the output depends on row ``i`` of the input alone.
        """

    def generate(self, x: Tensor, **options: Any) -> Tensor:
        """Run the network for use rather than for training; shapes and ranges as in :meth:`forward`.

        ``options`` are the plugin's own, already checked. The default takes none and runs :meth:`forward`
        without recording gradients; a model that optimises the picture itself overrides this.

        Raises:
            TypeError: an option that the model does not have.
            Interrupted: the user pressed Ctrl-C, and there are pictures by then.
        """
        if options:
            raise TypeError(f"this model takes no options, got {', '.join(sorted(options))}")
        with torch.inference_mode():
            return self(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class Discriminator(nn.Module, ABC):
    """A network that tells real pictures from generated ones.

    It works in two parts, so that a costly frozen part (features of a pretrained network, say) need not run
    twice on the same pictures: :meth:`observe` makes features, :meth:`judge` makes logits of them.

    Attributes:
        minimum_size: the least height and width of a picture, in pixels.
    """

    minimum_size: int = 1

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """N x 3 x H x W pictures in [-1, 1] to the tensors that :meth:`judge` takes.

        Holds no trainable parameter; gradients flow to the pictures. The default is the pictures themselves.
        """
        return (pictures,)

    @abstractmethod
    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Observed features to logits: one N x ... tensor a head, unbounded, higher for more real.

        A loss averages over each head's entries and sums over the heads.
        """

    def forward(self, pictures: Tensor) -> Sequence[Tensor]:
        """N x 3 x H x W pictures in [-1, 1] to logits, as in :meth:`judge`."""
        return self.judge(self.observe(pictures))


@dataclass(frozen=True)
class Networks:
    """All networks of one model while it is trained, by name.

    Attributes:
        generators: at least one; the first is the model that a run ends with, the others serve it
            (CycleGAN's way back) and are saved beside it. A name says what the generator makes.
        discriminators: any number, none included.
        built_by: the plugin's name and the config, as JSON types, that build the generators again, where these are not
            those of the run (a distilled student's).
    """

    generators: Mapping[str, Generator]
    discriminators: Mapping[str, Discriminator] = field(default_factory=dict)
    built_by: tuple[str, Mapping[str, Any]] | None = None


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None) -> None:
    """One update of the optimiser's parameters, and of no others, down the gradient of a scalar loss.

    Args:
        loss: of this batch; the gradient flows to the optimiser's parameters alone.
        optimizer: one of the trainer's.
        gate: a figure and a bound: the update is left out where the figure is under the bound.
    """
    if gate is not None and float(gate[0]) < gate[1]:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    optimizer.zero_grad()
    torch.autograd.backward(loss, inputs=parameters)
    optimizer.step()


class Minimise(Protocol):
    """What :func:`minimise` does, with the scaling, accumulation and averaging that a run needs."""

    def __call__(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None
    ) -> None:
        """See :func:`minimise`; the gate's figure is averaged over what makes one update."""


@dataclass(frozen=True)
class Run:
    """What a :class:`Trainer` may know of the run that it is part of.

    Attributes:
        steps: how many optimisation steps the run has in all.
        minimise: makes an update; call it in place of ``zero_grad``, ``backward`` and ``optimizer.step``. Where
            gradients are accumulated over several batches or averaged over processes, it knows when and how.
    """

    steps: int
    minimise: Minimise = minimise


class Trainer(ABC):
    """What one optimisation step of a model does. It knows no device, file, schedule or progress bar.

    Attributes:
        optimizers: by name. The loop scales their learning rates as the run's schedule says.
        rounds: how many times :meth:`step` is called, each time with a fresh batch, for one step of the run: more
            than one where the discriminators learn several times for each time that the generators do.
    """

    optimizers: dict[str, torch.optim.Optimizer]
    rounds: int = 1

    def __init__(self, networks: Networks, config: Any, run: Run) -> None:
        self.networks = networks
        self.config = config
        self.run = run
        self.optimizers = {}

    @abstractmethod
    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """Learn from one batch and return figures to log by name, as scalar tensors without gradient.

        Names have a kind and what it is of: ``discriminator/paintings``. The run's health is judged by them:
        ``accuracy/NAME`` is how often (0 to 1) a discriminator is right, the other kinds are losses.

        Args:
            batch: for each domain of the plugin's manifest (``photos``, say) B x 3 x S x S pictures in [-1, 1].
            index: how many rounds came before; with one round a step, the number of the step from 0.
        """

    @abstractmethod
    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Labelled rows for a sample sheet: each a N x 3 x S x S picture tensor in [-1, 1].

        Args:
            batch: fixed pictures of each domain.
            generators: the averaged (EMA) generators, under the names of ``networks.generators``.
        """

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """What the generators make of a batch, to be watched for collapse and for copying, and to be scored.

        By generator: the pictures that went in (None for noise) and those that came out, N x 3 x S x S each, as many
        as the batch has. Arguments as in :meth:`sample`. The default gives none, and nothing is watched.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What the trainer holds beyond networks and optimisers (an image pool, say): JSON types and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, got {', '.join(state)}")


@dataclass(frozen=True)
class Score:
    """One result of a metric.

    Attributes:
        name: carries the feature network where it matters, for example ``fd-vgg19``.
        value: the score.
        n: how many pictures it was computed from: real ones (0 if the metric has no reference), generated.
        details: with what it was computed, as JSON types.
        interval: of 95 % confidence, where the metric knows one.
        notes: what to beware of, in words: too few pictures, say.
    """

    name: str
    value: float
    n: tuple[int, int]
    details: Mapping[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


class Metric(ABC):
    """A score of generated pictures, alone or against real ones. It knows no model and no file.

    Feed pictures in batches of any size with :meth:`update`, then call :meth:`compute`; memory must not grow
    with the size of a picture times their number.

    Attributes:
        name: by which it is asked for.
        against: what the ``real`` pictures are: ``"real"`` ones of the kind that is generated; ``"inputs"``, those that
            the generated ones were made from, in the same order; ``"nothing"`` where it looks at generated ones alone.
    """

    name: ClassVar[str]
    against: ClassVar[Literal["real", "inputs", "nothing"]] = "real"

    @abstractmethod
    def update(self, pictures: Tensor, *, real: bool) -> None:
        """Take in N x 3 x H x W pictures in [-1, 1] of the real or the generated set."""

    @abstractmethod
    def compute(self) -> Score:
        """The score of all that was taken in.

        Raises:
            ValueError: too few pictures for the score to be defined.
        """

    def scores(self) -> Sequence[Score]:
        """All that it has to say, where that is more than one score; the first is that of :meth:`compute`."""
        return [self.compute()]
