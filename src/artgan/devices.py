"""Devices that torch can use here."""

from __future__ import annotations

import torch

from artgan.errors import ArtganError


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device with this name; the CPU for None. Raises ArtganError if it cannot be used here."""
    try:
        place = torch.device(device or "cpu")
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtganError(f"device {device!r} cannot be used here ({reason}); try cpu") from None
    return place
