"""Print a table of parameters and multiply-adds of painting generators. Nothing is timed, and no weights are needed.

    python scripts/network_cost.py cyclegan:paper cyclegan:compact cyclegan:fast cyclegan:fast,width=32,blocks=4

A network is PLUGIN:PRESET[,OPTION=VALUE...], as for `artgan distill --student`.
"""

from __future__ import annotations

import argparse

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from artgan.config import parse
from artgan.discovery import load_plugin, resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="PLUGIN:PRESET[,OPTION=VALUE...]")
    parser.add_argument("--size", type=int, default=256, help="side of the picture, in pixels")
    options = parser.parse_args()
    print(f"| network | parameters | float16, MB | GMAC at {options.size} x {options.size} |\n|---|---|---|---|")
    for name in options.networks:
        parameters, multiplications = cost(name, options.size)
        print(f"| {name} | {parameters:,} | {2 * parameters / 1e6:.1f} | {multiplications / 1e9:.2f} |")


def cost(name: str, size: int) -> tuple[int, int]:
    """Parameters, and multiply-adds for one picture."""
    plugin_name, _, network = name.partition(":")
    preset, *changes = network.split(",")
    plugin = load_plugin(plugin_name)
    values = {key: yaml.safe_load(value) for key, _, value in (change.partition("=") for change in changes)}
    config = parse(resolve(plugin, "config"), {**plugin.presets[preset], **values}, where=name)
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        generator = resolve(plugin, "generator")(config).eval()
        generator(torch.empty(1, 3, size, size))
    return sum(weights.numel() for weights in generator.parameters()), counter.get_total_flops() // 2


if __name__ == "__main__":
    main()
