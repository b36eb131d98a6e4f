"""Scores of generated pictures: how near to real ones they are, how varied, and whether they repeat them.

:func:`artgan.metrics.evaluation.evaluate` takes them of folders. This module is free of torch.
"""

from __future__ import annotations

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
