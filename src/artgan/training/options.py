"""The training options shared by all plugins, and those shared by all adversarial ones. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.config import option
from artgan.sampling.noise import Noise
from artgan.settings import NETWORK_FILE

INTERVALS = {"log": 10, "sample": 500, "models": 0, "metrics": 1000, "checkpoint": 500}
"""What a run does at intervals, each the beginning of two options, and the usual interval in steps; 0 for never."""

IN_STEPS_OR_EPOCHS = (("steps", "epochs"), *((f"{what}_every", f"{what}_every_epochs") for what in INTERVALS))
"""Pairs of options of which one may be given: the number of steps, and the number of epochs."""


@dataclass(frozen=True)
class TrainingOptions:
    """The options that all plugins share; each field is an option of ``artgan train PLUGIN``."""

    steps: int | None = option(None, "optimization steps in total; or give --epochs", least=1, resumable=True)
    epochs: int | None = option(None, "passes over the larger set of pictures [default: 200]", least=1, resumable=True)
    batch: int = option(1, "batch size per process: pictures of each kind", least=1, most=4096)
    accumulate: int = option(1, "batches whose gradients are accumulated for one update", least=1, most=65536)
    size: int = option(256, "side of the square crops, in pixels", least=16, most=4096)
    zoom: float | None = option(
        None,
        "resize the short side to between SIZE and this many times SIZE, then crop",
        least=1,
    )
    seed: int = option(0, "seed of networks, draws and noise", least=0, most=2**63 - 1)
    start_from: str | None = option(
        None, "model to fine-tune: the (first) generator starts from its weights; the networks must be the same"
    )
    underpaint: str | None = option(
        None, "paint the inputs in strokes before training on them, with the brush of a model or of a file (JSON, YAML)"
    )
    verify: bool = option(
        False, "decode all pictures in the background during training, to find damaged ones early", resumable=True
    )
    device: str | None = option(None, "cpu, cuda, cuda:1, mps ... [default: the best available]", resumable=True)
    precision: str = option("no", "mixed precision", choices=("no", "fp16", "bf16"), resumable=True)
    compile: bool = option(False, "compile the networks (torch.compile); the first steps take minutes", resumable=True)
    channels_last: bool = option(
        False, "keep tensors in channels-last order, which suits mixed precision on a GPU", resumable=True
    )
    workers: int | None = option(
        None,
        "worker processes that prefetch pictures [default: 1; on a GPU, one per core, at most 8]",
        least=0,
        most=256,
        resumable=True,
    )
    decay_from: float = option(
        0.5,
        "share of the steps after which the learning rate falls linearly to 0",
        least=0,
        most=1,
        resumable=True,
    )
    ema: float = option(
        0.999, "decay of the generators' exponential moving average", least=0, most=0.999999, resumable=True
    )
    checkpoint_every: int | None = option(None, "steps between checkpoints [default: 500]", least=1, resumable=True)
    checkpoint_every_epochs: int | None = option(None, "epochs between checkpoints", least=1, resumable=True)
    keep: int = option(2, "how many of the newest checkpoints to keep", least=1, resumable=True)
    sample_every: int | None = option(None, "steps between sample sheets [default: 500]", least=1, resumable=True)
    sample_every_epochs: int | None = option(None, "epochs between sample sheets", least=1, resumable=True)
    models_every: int | None = option(
        None, "also keep a model in RUN/models every so many steps, for comparison", least=1, resumable=True
    )
    models_every_epochs: int | None = option(None, "the same every so many epochs", least=1, resumable=True)
    log_every: int | None = option(None, "steps averaged in one line of the log [default: 10]", least=1, resumable=True)
    log_every_epochs: int | None = option(None, "epochs averaged in one line of the log", least=1, resumable=True)
    metrics: str = option(
        "",
        "metrics to compute during training (artgan evaluate --list shows them): NAME or NAME,NAME",
        resumable=True,
    )
    metrics_every: int | None = option(None, "steps between scores [default: 1000]", least=1, resumable=True)
    metrics_every_epochs: int | None = option(None, "epochs between scores", least=1, resumable=True)
    vgg19: str | None = option(None, NETWORK_FILE.format("VGG-19"), resumable=True)
    inception: str | None = option(None, NETWORK_FILE.format("the Inception network of FID"), resumable=True)
    dinov2: str | None = option(None, NETWORK_FILE.format("DINOv2"), resumable=True)
    metrics_on: int = option(200, "pictures of each kind used for a score", least=2, resumable=True)
    held_out: int = option(
        0,
        "pictures of each kind that are never drawn for training, only used for scores; 0 scores training pictures",
        least=0,
    )
    keep_best: str | None = option(
        None,
        "metric, or one of its scores, by which the best model is kept in RUN/best each time scores are computed",
        resumable=True,
    )

    def __post_init__(self) -> None:
        for in_steps, in_epochs in IN_STEPS_OR_EPOCHS:
            if getattr(self, in_steps) is not None and getattr(self, in_epochs) is not None:
                raise ValueError(f"give {in_steps} or {in_epochs}, not both")
        if self.held_out == 1:
            raise ValueError("held_out must be 0, or at least 2, which a score needs")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names in ``metrics``."""
        return _names(self.metrics)

    def total_steps(self, pictures: int, processes: int = 1) -> int:
        """The number of steps in total, where an epoch is a pass over ``pictures`` pictures."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 200) * self.steps_per_epoch(pictures, processes)

    def steps_per_epoch(self, pictures: int, processes: int = 1) -> int:
        """The number of steps that a pass over ``pictures`` pictures takes."""
        return -(-pictures // (self.batch * self.accumulate * processes))

    def interval(self, what: str, pictures: int, processes: int = 1) -> int:
        """The number of steps between two of ``what``, one of :data:`INTERVALS`; 0 for never."""
        epochs: int | None = getattr(self, f"{what}_every_epochs")
        if epochs is not None:
            return epochs * self.steps_per_epoch(pictures, processes)
        steps: int | None = getattr(self, f"{what}_every")
        return INTERVALS[what] if steps is None else steps

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """The factor of the learning rates at ``step`` of ``steps``: 1, then falling linearly to 0."""
        start = self.decay_from * steps
        return 1.0 if step < start else (steps - step) / (steps - start)


AUGMENTATIONS = ("color", "translation", "cutout")
"""The augmentations of DiffAugment, in the order in which they are applied."""


@dataclass(frozen=True)
class AdversarialOptions:
    """The options of any plugin with discriminators; its config inherits from this and may set other defaults.

    :class:`artgan.toolkit.Adversary` implements them.

    Raises:
        ValueError: labels for the hinge loss, or an unknown augmentation.
    """

    loss: str = option(
        "nonsaturating",
        "adversarial loss: nonsaturating (cross-entropy), lsgan (least squares) or hinge",
        choices=("nonsaturating", "lsgan", "hinge"),
        resumable=True,
    )
    lr: float = option(2e-4, "Adam's learning rate", above=0, resumable=True)
    lr_discriminator: float | None = option(
        None, "the discriminators' learning rate [default: as --lr]", above=0, resumable=True
    )
    beta1: float = option(0.5, "Adam's beta1", least=0, most=0.9999, resumable=True)
    beta2: float = option(0.999, "Adam's beta2", least=0, most=0.999999, resumable=True)
    discriminator_steps: int = option(1, "discriminator updates per generator update", least=1, most=100)
    skip_below: float = option(
        0.0, "do not update the discriminators while the mean of their losses is below this", least=0, resumable=True
    )
    r1: float = option(
        0.0, "gamma of the R1 gradient penalty; 0 for none (StyleGAN2 at 256 px: 1 to 10)", least=0, resumable=True
    )
    r1_every: int = option(
        16, "apply the R1 penalty, multiplied by this number, only every so many updates", least=1, resumable=True
    )
    real_label: float = option(
        1.0, "the discriminators' label for real pictures (label smoothing: 0.9)", resumable=True
    )
    fake_label: float = option(0.0, "the discriminators' label for generated pictures", resumable=True)
    diffaugment: str = option(
        "",
        "augmentations of everything the discriminators see: color,translation,cutout or some of them",
        resumable=True,
    )
    spectral_norm: bool = option(False, "spectral normalization of the discriminators' layers")

    def __post_init__(self) -> None:
        if self.loss == "hinge" and (self.real_label, self.fake_label) != (1.0, 0.0):
            raise ValueError("the hinge loss has no labels; real_label and fake_label go with nonsaturating and lsgan")
        unknown = [name for name in self.augmentations if name not in AUGMENTATIONS]
        if unknown:
            raise ValueError(f"diffaugment knows {', '.join(AUGMENTATIONS)}, not {unknown[0]!r}")

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names in ``diffaugment``."""
        return _names(self.diffaugment)


@dataclass(frozen=True)
class NoiseOptions(AdversarialOptions):
    """The options of any plugin that generates pictures from noise; its config inherits from this.

    Raises:
        ValueError: as of :class:`AdversarialOptions`; or the noise is not one of :class:`artgan.toolkit.Noise`.
    """

    noise: str = option(
        "normal(0,1)",
        "distribution of the noise: normal(MEAN,VARIANCE), uniform(LOW,HIGH), gamma(SHAPE,SCALE) or "
        "truncated(MEAN,VARIANCE,BOUND)",
    )
    noise_size: int = option(100, "length of a picture's noise vector", least=1, most=4096)

    def __post_init__(self) -> None:
        super().__post_init__()
        Noise.parse(self.noise)


@dataclass(frozen=True)
class MultiscaleOptions(NoiseOptions):
    """The options of a plugin from noise that can train at several resolutions; its config inherits from this.

    :class:`artgan.toolkit.MultiscaleTrainer` implements them.

    Raises:
        ValueError: as of :class:`NoiseOptions`; or ``phase_steps`` without progressive growing.
    """

    multiscale: str = option(
        "none",
        "progressive: grow the networks from small pictures to large ones (Karras et al., 2018); "
        "msg: the discriminator sees all resolutions at once (Karnewar and Wang, 2020)",
        choices=("none", "progressive", "msg"),
    )
    phase_steps: int | None = option(
        None, "progressive: steps at each resolution [default: an equal share of the run's steps]", least=1
    )
    fade_in: float = option(
        0.5, "progressive: share of a resolution's steps in which it is faded in (the paper: 0.5)", least=0, most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phase_steps is not None and self.multiscale != "progressive":
            raise ValueError("phase_steps goes with multiscale progressive")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
