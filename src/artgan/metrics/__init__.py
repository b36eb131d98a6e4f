"""Scores of generated pictures: how near to real ones they are, how varied, and whether they repeat them.

:func:`artgan.metrics.evaluation.evaluate` takes them of folders. This module is free of torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

NETWORKS = ("inception", "vgg19", "dinov2")
"""Those that look at pictures; files of weights can be given for them."""

# By name; plugins bring others.
METRICS = {
    "fid": "artgan.metrics.frechet:FID",
    "fid-clean": "artgan.metrics.frechet:CleanFID",
    "fid-infinity": "artgan.metrics.frechet:FIDInfinity",
    "fd-vgg19": "artgan.metrics.frechet:FDVGG19",
    "fd-dinov2": "artgan.metrics.frechet:FDDINOv2",
    "kid": "artgan.metrics.kernel:KID",
    "is": "artgan.metrics.inception_score:InceptionScore",
    "prdc": "artgan.metrics.neighbours:PRDC",
    "mifid": "artgan.metrics.neighbours:MiFID",
    "memorisation": "artgan.metrics.neighbours:Memorisation",
    "style": "artgan.metrics.style_distance:Style",
    "style-deep": "artgan.metrics.style_distance:DeepStyle",
    "style-filters": "artgan.metrics.style_distance:FilterStyle",
    "diversity": "artgan.metrics.perceptual:Diversity",
    "content": "artgan.metrics.perceptual:ContentKept",
}


def weight_files(texts: Iterable[str]) -> dict[str, Path]:
    """NETWORK=FILE by network.

    Raises:
        ValueError: one is no such thing, names no network, or a network comes twice.
    """
    files: dict[str, Path] = {}
    for text in texts:
        network, _, file = text.partition("=")
        if network not in NETWORKS or not file or network in files:
            raise ValueError(f"{text}: write NETWORK=FILE, each network once; there are {', '.join(NETWORKS)}")
        files[network] = Path(file)
    return files
