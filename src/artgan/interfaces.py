"""The four interfaces that all plugins share: Generator, Discriminator, Trainer and Metric.

This module depends on nothing of artgan but :mod:`artgan.errors`. Wherever a tensor is called a picture, it is a float
tensor of shape N x 3 x H x W (RGB) with values in [-1, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from artgan.errors import Interrupted

__all__ = [
    "Better",
    "Discriminator",
    "Generator",
    "Interrupted",
    "Metric",
    "Minimize",
    "Networks",
    "Run",
    "Score",
    "Task",
    "Trainer",
    "minimize",
]

Task = Literal["image-to-image", "noise-to-image"]

Better = Literal["lower", "higher"]
"""Which values of a score are the better ones."""


class Generator(nn.Module, ABC):
    """A network that makes pictures, from pictures or from noise.

    Attributes:
        task: the kind of input: ``"image-to-image"`` (pictures) or ``"noise-to-image"`` (N x Z noise vectors).
        stride: height and width of an input picture must be multiples of this many pixels; callers pad. Not used for
            noise.
        minimum_size: the smallest height and width, in pixels, that the network accepts.
        noise_size: length Z of a noise vector; 0 if the input is pictures.
        one_at_a_time: whether batching has no benefit; callers then pass one picture at a time.
        memory_per_pixel: approximate working memory per pixel in float32, in bytes; 0 if unknown. Callers reject a
            picture that would not fit, rather than let the system kill the process.
        reach: radius of the receptive field, in pixels, not counting the whole-picture means and variances that
            :class:`torch.nn.InstanceNorm2d` computes; None if unbounded. A picture can be painted in tiles that
            overlap by this much.
        thread_safe: whether several threads may run it concurrently on different pictures: in evaluation mode, its
            forward modifies no state. Small pictures are then painted in parallel, which is faster on a CPU.
        placed: whether what it paints depends on the place in the picture. :meth:`generate` then takes ``places``: for
            each row, left and top of the part that it is, and width and height of the whole picture, in pixels. A row
            may extend beyond the picture's right and lower edges. Without ``places``, each row is a whole picture.
    """

    task: ClassVar[Task] = "image-to-image"
    stride: int = 1
    minimum_size: int = 1
    noise_size: int = 0
    one_at_a_time: bool = False
    memory_per_pixel: int = 0
    reach: int | None = None
    thread_safe: bool = False
    placed: bool = False

    def noise(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` x Z noise vectors for :meth:`forward` on the CPU: standard normal unless overridden."""
        return torch.randn(count, self.noise_size, generator=generator)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map N x 3 x H x W pictures (or N x Z noise) to N x 3 x H x W pictures in [-1, 1].

        The output has the dtype and device of the input and, for pictures, its height and width. Row ``i`` of the
        output depends only on row ``i`` of the input.
        """

    def generate(self, x: Tensor, **options: Any) -> Tensor:
        """Run the network for inference; shapes and ranges as in :meth:`forward`.

        ``options`` are the plugin's own, already validated. The default implementation takes none and runs
        :meth:`forward` without recording gradients; a model that optimizes the picture itself overrides this.

        Raises:
            TypeError: an option that the model does not have.
            Interrupted: the user pressed Ctrl-C, and some pictures were already finished.
        """
        if options:
            raise TypeError(f"this model takes no options, got {', '.join(sorted(options))}")
        with torch.inference_mode():
            return self(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def start_from(self, other: Generator) -> None:
        """Take over the weights of a trained generator, with which training then begins (``--start-from``).

        The default asks for the same network. A plugin may take those of a network that is part of this one.

        Raises:
            RuntimeError: it is another network, as ``load_state_dict`` finds.
        """
        self.load_state_dict(other.state_dict())


class Discriminator(nn.Module, ABC):
    """A network that distinguishes real pictures from generated ones.

    It has two stages, so that an expensive frozen part (such as a pretrained feature network) need not run twice on
    the same pictures: :meth:`observe` computes features, :meth:`judge` maps them to logits.

    Attributes:
        minimum_size: the smallest height and width of a picture, in pixels.
    """

    minimum_size: int = 1

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """Map N x 3 x H x W pictures in [-1, 1] to the features that :meth:`judge` takes, N rows each.

        Has no trainable parameters; gradients flow to the pictures. The default returns the pictures themselves.
        """
        return (pictures,)

    @abstractmethod
    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Map observed features to logits: one N x ... tensor per head, unbounded, higher meaning more real.

        A loss averages over each head's entries and sums over the heads.
        """

    def forward(self, pictures: Tensor) -> Sequence[Tensor]:
        """Map N x 3 x H x W pictures in [-1, 1] to logits, as in :meth:`judge`."""
        return self.judge(self.observe(pictures))

    def auxiliary_loss(self, observed: Sequence[Tensor]) -> Tensor | None:
        """A further loss on observed real pictures, a scalar, which is added to the adversarial one.

        For parts that :meth:`judge` does not use, such as decoders of self-supervised discriminators. The default is
        None, no such loss.
        """
        return None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile :meth:`observe` and :meth:`judge`, which training calls, in place; arguments as of torch.compile.

        Raises:
            ConfigError: the network cannot be compiled.
        """
        for part in ("observe", "judge"):
            setattr(self, part, torch.compile(getattr(self, part), *args, **kwargs))


@dataclass(frozen=True)
class Networks:
    """All networks of one model during training, by name.

    Attributes:
        generators: at least one. The first is the model that the run produces; the others support its training (such
            as CycleGAN's inverse mapping) and are saved with it. A name says what the generator makes.
        discriminators: any number, including none.
        built_by: the plugin name and config (JSON types) that rebuild the generators, if they differ from those of the
            run (as for a distilled student).
    """

    generators: Mapping[str, Generator]
    discriminators: Mapping[str, Discriminator] = field(default_factory=dict)
    built_by: tuple[str, Mapping[str, Any]] | None = None


def minimize(loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None) -> None:
    """Take one gradient step on a scalar loss, updating the optimizer's parameters and no others.

    Args:
        loss: the loss of this batch; only the optimizer's parameters receive a gradient.
        optimizer: one of the trainer's.
        gate: a value and a bound: the update is skipped if the value is below the bound.
    """
    if gate is not None and float(gate[0]) < gate[1]:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    optimizer.zero_grad()
    torch.autograd.backward(loss, inputs=parameters)
    optimizer.step()


class Minimize(Protocol):
    """Like :func:`minimize`, with the gradient scaling, accumulation and averaging that a run needs."""

    def __call__(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None
    ) -> None:
        """See :func:`minimize`; the gate's value is averaged over all batches and processes of one update."""


@dataclass(frozen=True)
class Run:
    """What a :class:`Trainer` may know about the run that it is part of.

    Attributes:
        steps: the total number of optimization steps.
        minimize: makes an update; call it instead of ``zero_grad``, ``backward`` and ``optimizer.step``. It also
            handles gradient accumulation over several batches and averaging over processes.
    """

    steps: int
    minimize: Minimize = minimize


class Trainer(ABC):
    """One optimization step of a model. It does not deal with devices, files, schedules or progress bars.

    Args:
        networks: those of the plugin, on their device.
        config: of the plugin.
        run: what it may know about the run.

    Attributes:
        networks: the argument, as are ``config`` and ``run``.
        optimizers: by name. The training loop scales their learning rates according to the run's schedule.
        rounds: how many times :meth:`step` is called per step of the run, each time with a new batch: more than one if
            the discriminators are updated several times per generator update.
    """

    optimizers: dict[str, torch.optim.Optimizer]
    rounds: int = 1

    def __init__(self, networks: Networks, config: Any, run: Run) -> None:
        self.networks = networks
        self.config = config
        self.run = run
        self.optimizers = {}

    @property
    def milestones(self) -> Collection[int]:
        """Numbers of steps after which a sample sheet is drawn in any case; by default none."""
        return ()

    @abstractmethod
    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """Learn from one batch and return values to log, by name, as scalar tensors without gradient.

        Names have the form ``KIND/NETWORK``, such as ``discriminator/paintings``. The run's health checks use them:
        ``accuracy/NAME`` is a discriminator's accuracy (0 to 1), the other kinds are losses.

        Args:
            batch: for each domain of the plugin's manifest (such as ``photos``) B x 3 x S x S pictures in [-1, 1].
            index: the number of rounds before this one; with one round per step, the step number, from 0.
        """

    @abstractmethod
    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Make labeled rows for a sample sheet: each an N x 3 x S x S picture tensor in [-1, 1].

        Args:
            batch: fixed pictures of each domain.
            generators: the averaged (EMA) generators, under the names of ``networks.generators``.
        """

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """The generators' outputs for a batch, used for scores and for detecting collapse and copying of the input.

        For each generator: its input pictures (None for noise) and its outputs, N x 3 x S x S each, as many as the
        batch has. Arguments as in :meth:`sample`. The default returns none, which disables these checks.
        """
        return {}

    def refresh(self, generators: Mapping[str, Generator]) -> None:  # noqa: B027  # most have nothing to do
        """Update what averaging weights leaves stale in averaged generators, such as the statistics of batch norms.

        Called before they are saved, scored or drawn from; the next step undoes it. It depends on the generators'
        weights alone. Arguments as in :meth:`sample`. The default does nothing.
        """

    def state_dict(self) -> dict[str, Any]:
        """The trainer's state apart from networks and optimizers (such as an image pool): JSON types and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises:
            ValueError: there is one, where :meth:`state_dict` returns none, as the default does.
        """
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, got {', '.join(state)}")


@dataclass(frozen=True)
class Score:
    """One result of a metric.

    Attributes:
        name: includes the feature network if it matters, for example ``fd-vgg19``.
        value: the score.
        n: the numbers of real pictures (0 if the metric has no reference) and of generated pictures used.
        details: how it was computed, as JSON types.
        interval: the 95 % confidence interval, if the metric provides one.
        notes: caveats in words, such as too few pictures.
    """

    name: str
    value: float
    n: tuple[int, int]
    details: Mapping[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


class Metric(ABC):
    """A score of generated pictures, alone or compared with real ones. It does not deal with models or files.

    Feed pictures in batches of any size with :meth:`update`, then call :meth:`compute`; memory must not grow with
    picture size times number of pictures.

    Attributes:
        name: the name by which users request it.
        against: what the ``real`` pictures are: ``"real"``: examples of the kind that is generated; ``"inputs"``: the
            pictures that the generated ones were made from, in the same order; ``"nothing"``: there are none.
        better: which values are better, ``"lower"`` or ``"higher"`` ones; for a metric with several scores, this by the
            name of each. None leaves it open, and training cannot keep the best model by this metric.
    """

    name: ClassVar[str]
    against: ClassVar[Literal["real", "inputs", "nothing"]] = "real"
    better: ClassVar[Better | Mapping[str, Better] | None] = None

    @abstractmethod
    def update(self, pictures: Tensor, *, real: bool) -> None:
        """Add N x 3 x H x W pictures in [-1, 1] of the real or the generated set."""

    @abstractmethod
    def compute(self) -> Score:
        """Compute the score of all pictures added so far.

        Raises:
            ValueError: too few pictures for the score to be defined.
        """

    def scores(self) -> Sequence[Score]:
        """All scores, for a metric with several; the first is that of :meth:`compute`."""
        return [self.compute()]
