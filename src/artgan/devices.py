"""Devices that torch can use here, and their memory."""

from __future__ import annotations

import psutil
import torch

from artgan.errors import ArtganError, one_line


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device with this name; the CPU for None. Raises ArtganError if it cannot be used here."""
    try:
        place = torch.device(device or "cpu")
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArtganError(f"device {device!r} cannot be used here ({one_line(error)}); try cpu") from None
    return place


def free_memory(device: torch.device) -> float:
    """Free memory of a device, in bytes; infinite if unknown, which it is for all but the CPU and CUDA.

    On CUDA, what PyTorch keeps to use again counts as free.
    """
    if device.type == "cpu":
        return float(psutil.virtual_memory().available)
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # cached by torch's allocator
        return float(torch.cuda.mem_get_info(device)[0] + held)
    return float("inf")
