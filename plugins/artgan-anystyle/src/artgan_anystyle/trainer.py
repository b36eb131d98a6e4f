"""One step of training: a batch of photos, each painted in the style of one of a batch of pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from artgan.toolkit import Generator, Networks, Run, Trainer, load_vgg19
from artgan_anystyle.config import AnyStyleConfig
from artgan_anystyle.generator import AnyStyleGenerator
from artgan_anystyle.losses import CONTENT_LAYER, STYLE_LAYERS, content_distance, style_losses
from artgan_anystyle.styles import magnified, recolored, textures

_MEAN = 0.99  # decay of the mean code


class AnyStyleTrainer(Trainer):
    """Minimizes the distance from the style and that from the photo; see :mod:`artgan_anystyle.losses`."""

    config: AnyStyleConfig

    def __init__(self, networks: Networks, config: AnyStyleConfig, run: Run) -> None:
        super().__init__(networks, config, run)
        [generator] = networks.generators.values()
        assert isinstance(generator, AnyStyleGenerator)
        self.generator = generator
        self.vgg19 = load_vgg19([*STYLE_LAYERS], config.vgg19)
        parameters = list(generator.parameters())
        fused = all(parameter.is_cuda for parameter in parameters) or None
        betas = (config.beta1, config.beta2)
        self.optimizers = {"generator": torch.optim.Adam(parameters, config.lr, betas=betas, fused=fused)}

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """See :meth:`artgan.interfaces.Trainer.step`."""
        config, photos = self.config, batch["photos"]
        self.vgg19.to(photos.device)
        styles = self._styles(batch["styles"])
        with torch.no_grad():
            of_photos = self._features(photos)[CONTENT_LAYER]
        codes = self.generator.encoder(styles)
        with torch.no_grad():
            self.generator.style.lerp_(codes.detach().float().mean(0), 1 - _MEAN)
        made = self.generator.paint(photos, [(codes, None)], seed=None)
        weights = {"gram": config.lambda_gram, "moments": config.lambda_moments, "sliced": config.lambda_sliced}
        losses: dict[str, Tensor] = {}
        for scale in range(config.scales):
            small, wanted = (F.avg_pool2d(x, 2**scale) if scale else x for x in (made, styles))
            features = self._features(small)
            with torch.no_grad():
                of_styles = self._features(wanted)
            if not scale:
                losses["content"] = content_distance(features[CONTENT_LAYER], of_photos)
            for name, loss in style_losses(features, of_styles, [n for n, weight in weights.items() if weight]).items():
                losses[name] = losses.get(name, loss.new_zeros(())) + loss / config.scales
        weighted = [loss * weights.get(name, config.lambda_content) for name, loss in losses.items()]
        self.run.minimize(torch.stack(weighted).sum(), self.optimizers["generator"])
        return {f"{name}/paintings": loss.detach() for name, loss in losses.items()}

    def _features(self, pictures: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.vgg19.layers, self.vgg19(pictures), strict=True))

    def _styles(self, pictures: Tensor) -> Tensor:
        """The batch's styles, varied."""
        config = self.config
        styles = magnified(pictures, config.magnified)
        if config.made_up:
            few = textures(len(styles), styles.shape[2], styles)
            chosen = torch.rand(len(styles), 1, 1, 1, device=styles.device) < config.made_up
            styles = torch.where(chosen, few, styles)
        return recolored(styles, config.recolored)

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Photos, styles, and the photos in the styles."""
        made = self._painted(batch, generators)
        return {"photo": batch["photos"], "style": batch["styles"], "painting": made}

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """The same paintings."""
        return {"paintings": (batch["photos"], self._painted(batch, generators))}

    @staticmethod
    def _painted(batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Tensor:
        [generator] = generators.values()
        assert isinstance(generator, AnyStyleGenerator)
        return generator.paint(batch["photos"], [(generator.encoder(batch["styles"]), None)])
