"""Scores of generated pictures: fidelity to real ones, diversity and memorization.

:class:`artgan.metrics.evaluation.Evaluator` scores sets of pictures. This module does not import torch.
"""

from __future__ import annotations

# By name; plugins add others.
METRICS = {
    "fid": "artgan.metrics.frechet:FID",
    "fid-clean": "artgan.metrics.frechet:CleanFID",
    "fid-infinity": "artgan.metrics.frechet:FIDInfinity",
    "fd-vgg19": "artgan.metrics.frechet:FDVGG19",
    "fd-dinov2": "artgan.metrics.frechet:FDDINOv2",
    "kid": "artgan.metrics.kernel:KID",
    "is": "artgan.metrics.inception_score:InceptionScore",
    "prdc": "artgan.metrics.neighbors:PRDC",
    "prdc-vgg19": "artgan.metrics.neighbors:PRDCVGG19",
    "mifid": "artgan.metrics.neighbors:MiFID",
    "memorization": "artgan.metrics.neighbors:Memorization",
    "style": "artgan.metrics.style_distance:Style",
    "style-deep": "artgan.metrics.style_distance:DeepStyle",
    "style-filters": "artgan.metrics.style_distance:FilterStyle",
    "told-vgg19": "artgan.metrics.telling:ToldByVGG19",
    "told-filters": "artgan.metrics.telling:ToldByFilters",
    "told-inception": "artgan.metrics.telling:ToldByInception",
    "told-dinov2": "artgan.metrics.telling:ToldByDINOv2",
    "diversity": "artgan.metrics.perceptual:Diversity",
    "content": "artgan.metrics.perceptual:ContentKept",
    "photo-left": "artgan.metrics.photo_left:PhotoLeft",
}
