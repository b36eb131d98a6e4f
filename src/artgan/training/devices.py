"""The device, processes and precision of a training run."""

from __future__ import annotations

import os
import platform

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from artgan.devices import usable_device
from artgan.errors import TrainingError
from artgan.training.options import TrainingOptions


def accelerator_for(options: TrainingOptions) -> Accelerator:
    """The accelerator for these options and for the way the program was launched.

    Raises:
        ArtganError: the device or the precision is not available here.
    """
    device = usable_device(options.device)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not several:  # accelerate keeps the settings of an earlier run in this process, and refuses others
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    if device.index is not None:
        if several:
            raise TrainingError(f"--device {device}: several processes cannot share one; leave it to accelerate launch")
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    on_cpu = options.device is not None and device.type == "cpu"
    _check_precision(options.precision, on_cpu or not _gpu_for_training())
    return Accelerator(cpu=on_cpu, mixed_precision=options.precision, gradient_accumulation_steps=options.accumulate)


def _gpu_for_training() -> bool:
    return (torch.cuda.is_available() or torch.backends.mps.is_available()) and not _true("ACCELERATE_USE_CPU")


def _true(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")


def _check_precision(precision: str, on_cpu: bool) -> None:
    if on_cpu and precision == "fp16":
        raise TrainingError("--precision fp16 needs a GPU; on a CPU leave it out")
    if on_cpu and precision == "bf16" and not _cpu_has_bf16():
        raise TrainingError(
            "--precision bf16: this CPU has no bf16 instructions, and would be hundreds of times slower; omit it"
        )
    if not on_cpu and precision == "bf16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise TrainingError(f"--precision bf16: {torch.cuda.get_device_name()} does not support it; use fp16")


def _cpu_has_bf16() -> bool:
    if platform.machine().lower() in ("x86_64", "amd64"):
        known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, lambda: False)() for name in known)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
