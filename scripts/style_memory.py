"""Measure peak memory of gatys.vgg19 and of the tutorials' plain loop at one scale; one JSON line per size (Linux).

    python scripts/style_memory.py --vgg19 FILE --size 512 --size 1024

Each runs in a separate process for a few iterations on synthetic pictures. L-BFGS's history grows with the iterations
and is reported separately: its size when it is full.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from artgan_gatys import synthesis
from artgan_gatys.config import GatysOptions
from artgan_gatys.networks import build_network
from artgan_gatys.synthesis import Synthesis

from artgan import images
from artgan.toolkit import Style, find_styles

_ITERATIONS = 3
_TORCH_HISTORY = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vgg19", type=Path, required=True)
    parser.add_argument("--size", type=int, action="append", required=True)
    parser.add_argument("--as", dest="role", choices=("ours", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        work(options.vgg19, options.size[0], options.role)
        return
    for size in options.size:
        row = {"size": size}
        for role in ("ours", "plain"):
            command = [sys.executable, __file__, "--vgg19", str(options.vgg19), "--size", str(size), "--as", role]
            row[f"{role}, GB"] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        pair = 2 * 12 * size * size / 1e9
        row["history of ours, GB"] = round(synthesis._history(size, size) * pair, 2)
        row["history of plain, GB"] = round(_TORCH_HISTORY * pair, 2)
        print(json.dumps(row), flush=True)


def work(vgg19: Path, size: int, role: str) -> None:
    """Print the peak of this process's memory, in GB, minus that before any picture."""
    generator = torch.Generator().manual_seed(0)
    photo = (torch.rand(1, 3, size, size, generator=generator) * 2 - 1).mul(127.5).round().div(127.5)
    with TemporaryDirectory() as folder:
        style = Path(folder, "style.png")
        images.encode(images.to_rgb(photo[0].flip(1)), style)
        options = GatysOptions(style=(str(style),), size=size, iterations=_ITERATIONS, scales=1)
        styles = find_styles(options.style, ())
        paint(vgg19, photo, options, styles, role)


def paint(vgg19: Path, photo: torch.Tensor, options: GatysOptions, styles: list[Style], role: str) -> None:
    size = photo.shape[-1]
    recipe = options.resolved()
    network = build_network("vgg19.tv_in1k", recipe.layers, weights=vgg19)
    before = peak()
    mine = Synthesis(network, "vgg19.tv_in1k", photo, options, recipe, styles, {})
    if role == "ours":
        mine.run()
    else:
        objective = mine._objective(size, size)
        painting = photo.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([painting], max_iter=_ITERATIONS)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = objective(painting).total
            loss.backward()
            return loss

        optimizer.step(closure)
    print(round((peak() - before) / 1e9, 2))


def peak() -> int:
    """The peak of this process's memory, in bytes."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
