"""Measure time and peak memory of `artgan paint` by picture size, as a table and a plot (not on Windows).

    python scripts/painting_cost.py monet --sizes 1024,2048,4096 -o cost.png

Each picture is painted by a separate command, from JPEG to JPEG: the results include start, decoding and encoding.
Other arguments are passed on to `artgan paint`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from PIL import Image

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sizes", default="256,512,1024,2048", help="sides of square pictures in pixels")
    parser.add_argument("--photo", type=Path, help="photo to enlarge [default: synthetic clouds]")
    parser.add_argument("-o", "--out", type=Path, help="a PNG plot")
    options, others = parser.parse_known_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    rows = []
    print("| side, px | megapixels | s | s per megapixel | peak, MB |\n|---|---|---|---|---|")
    for size in sizes:
        seconds, peak = cost(options.model, size, options.photo, others)
        rows.append((seconds, peak))
        pixels = size * size / 1e6
        print(f"| {size} | {pixels:.1f} | {seconds:.1f} | {seconds / pixels:.2f} | {peak / 1e6:.0f} |", flush=True)
    if options.out:
        plot(options.out, options.model, sizes, rows)


def cost(model: str, size: int, photo: Path | None, others: list[str]) -> tuple[float, int]:
    """Seconds and peak resident memory, in bytes, of one command."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "photo.jpg")
        seed = Image.open(photo).convert("RGB") if photo else Image.effect_noise((64, 64), 60).convert("RGB")
        seed.resize((size, size), Image.Resampling.BICUBIC).save(source, quality=95)
        command = [sys.executable, "-m", "artgan", "paint", str(source), "--model", model, "-o", f"{folder}/out.jpg"]
        start = perf_counter()
        process = subprocess.Popen([*command, *others], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(process.returncode)
    return seconds, usage.ru_maxrss * UNIT


def plot(path: Path, model: str, sizes: list[int], rows: list[tuple[float, int]]) -> None:
    """Plot time and memory over the number of pixels."""
    from matplotlib.figure import Figure

    pixels = [size * size / 1e6 for size in sizes]
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    values = ([seconds for seconds, _ in rows], [peak / 1e6 for _, peak in rows])
    for axes, series, label in zip(panels, values, ("seconds", "peak memory, MB"), strict=True):
        axes.plot(pixels, series, "o-")
        axes.set(xlabel="megapixels", ylabel=label, ylim=(0, 1.1 * max(series)))
        axes.grid(alpha=0.3)
    figure.suptitle(f"artgan paint --model {model}")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
