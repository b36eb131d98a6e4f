"""Tests of a plugin's networks: generators and discriminators."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from artgan import images
from artgan.config import to_dict
from artgan.interfaces import Discriminator, Generator, Networks
from artgan.models.entry import STYLE
from artgan.models.folder import save_model
from artgan.models.loading import load_torch_model
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan.models.torch_model import TorchModel
from artgan.painting import underpainting
from artgan.painting.brushwork import Brush
from artgan.painting.canvas import Floats
from artgan.painting.strips import paint_large
from artgan.painting.tiles import Tiling, paint_tiles
from artgan.testing.subject import (
    Subject,
    demand,
    difference,
    explained,
    fitting,
    listed,
    skip_after,
    some_input,
    some_pictures,
    trainable,
)

# Rounding only: if just the other rows of a batch differ, and if batches differ in size (other kernels).
_EXACT, _CLOSE = 1e-6, 1e-4
# Shorter side of what a network paints over strokes in these tests, in pixels.
_FINISHING = 40
# The output must be bounded whatever the weights are; newly initialized ones are small.
_ENLARGED = 10.0


class GeneratorTests(Subject):
    """Every generator of the networks, and that of a loaded model."""

    def _generate(
        self, label: str, generator: Generator, x: Tensor, options: Mapping[str, Any] | None = None
    ) -> Tensor:
        with explained(f"The {label} fails on {_shape(x)}", "It must accept the inputs that its attributes declare."):
            return generator.generate(x, **(self._options if options is None else options))

    def _rows(self, label: str, generator: Generator, x: Tensor) -> Sequence[Tensor]:
        return (self._generate(label, generator, x),)

    def test_the_networks_are_built_as_the_interface_says(self) -> None:
        """Networks contains Generators and Discriminators with sensible attributes."""
        manifest, config = self._manifest, self._settings
        parts: dict[str, Any] = {}
        for part in ("networks", "generator"):
            if getattr(manifest, part) is None:
                continue
            build = self._part(part)
            with explained(
                f"The manifest's {part} fails for the config {config}", "It must build what the config asks for."
            ):
                parts[part] = build(config)
        generators: dict[str, Any] = {}
        if "networks" in parts:
            networks = parts["networks"]
            demand(
                isinstance(networks, Networks) and networks.generators,
                f"The manifest's networks returns {type(networks).__name__}. It must return "
                "artgan.toolkit.Networks with at least one generator.",
            )
            for name, discriminator in networks.discriminators.items():
                demand(
                    isinstance(discriminator, Discriminator),
                    f"Discriminator {name!r} is a {type(discriminator).__name__}. Make it a subclass of "
                    "artgan.toolkit.Discriminator.",
                )
            for name in (*networks.generators, *networks.discriminators):
                demand(
                    str(name).replace("-", "_").isidentifier(),
                    f"The network's name {name!r} becomes part of file names. Use letters, digits, '-' and '_'.",
                )
            generators |= {f"Generator {name!r}": generator for name, generator in networks.generators.items()}
        if "generator" in parts:
            generators["The manifest's generator"] = parts["generator"]
        for label, generator in generators.items():
            _check_attributes(label, generator)

    def test_the_same_seed_builds_the_same_weights(self) -> None:
        """Torch's seed determines the initial weights."""
        advice = "Draw initial weights only from torch (torch.randn, torch.nn.init), which --seed controls."
        pairs: list[tuple[str, nn.Module, nn.Module]] = []
        if self._manifest.networks is not None:
            one, other = self._networks(), self._networks()
            for kind in ("generators", "discriminators"):
                networks, again = getattr(one, kind), getattr(other, kind)
                pairs += [(f"{kind[:-1]} {name!r}", networks[name], again[name]) for name in networks]
        else:
            pairs.append(("the manifest's generator", self._generator(), self._generator()))
        for label, first, second in pairs:
            ours, theirs = first.state_dict(), second.state_dict()
            differ = [key for key, value in ours.items() if not torch.equal(value, theirs[key])]
            demand(
                not differ,
                f"Built twice after torch.manual_seed(0), {label} has different weights ({listed(differ)}). {advice}",
            )

    def test_the_manifests_generator_is_the_trained_one(self) -> None:
        """``generator`` builds the same network as the first of ``networks``, whose weights it is given."""
        manifest = self._manifest
        if manifest.generator is None or manifest.networks is None:
            pytest.skip("the manifest names only one of generator and networks")
        loaded, (name, trained) = self._generator(), next(iter(self._networks().generators.items()))
        shapes = [{key: value.shape for key, value in g.state_dict().items()} for g in (loaded, trained)]
        differ = sorted(key for key in shapes[0].keys() | shapes[1].keys() if shapes[0].get(key) != shapes[1].get(key))
        demand(
            not differ,
            f"The manifest's generator and the first of its networks, {name!r}, differ in {listed(differ)}, so a "
            "trained model could not be loaded. Build both with one function.",
        )

    def test_the_generator_is_built_without_memory(self) -> None:
        """On torch's meta device, where artgan builds a network before it loads the weights."""
        self._needs_weights(self._generator())
        advice = "Its constructor must not look at the values of tensors (item(), numpy(), comparisons)."
        with explained("The generator cannot be built on torch's meta device", advice):
            self._build_on_meta()

    def test_pictures_have_the_right_shape(self) -> None:
        """N x 3 x H x W, with the input's height and width if the input is a picture."""
        for label, generator in self._generators().items():
            x = some_input(generator, 2)
            y = self._generate(label, generator, x)
            demand(
                isinstance(y, Tensor),
                f"The {label} returns a {type(y).__name__}. It must return a tensor of pictures.",
            )
            if generator.task == "noise-to-image":
                demand(
                    y.ndim == 4 and y.shape[:2] == (2, 3) and y.numel() > 0,
                    f"The {label} makes {tuple(y.shape)} from 2 noise vectors. It must make pictures: (2, 3, height, "
                    "width).",
                )
            else:
                demand(
                    y.shape == x.shape,
                    f"The {label} makes {tuple(y.shape)} from pictures {tuple(x.shape)}. It must keep their shape.",
                )

    def test_pictures_are_finite_and_in_range(self) -> None:
        """All values in [-1, 1], whatever the weights are."""
        for label, generator in self._generators().items():
            y = self._generate(label, generator, some_input(generator, 2))
            demand(
                y.isfinite().all(),
                f"The {label} makes values that are not finite (NaN or infinity) from an ordinary input. Look for "
                "divisions by zero, logarithms and square roots.",
            )
            with torch.no_grad():
                for parameter in trainable(generator).values():
                    parameter.mul_(_ENLARGED)
            enlarged = self._generate(label, generator, some_input(generator, 2)).nan_to_num(0.0)
            most = max(float(y.abs().max()), float(enlarged.abs().max()))
            demand(
                most <= 1 + _EXACT,
                f"The {label} makes values of up to {most:.4g} (with weights {_ENLARGED:g} times as large as the "
                "initial ones). Pictures are in [-1, 1]: end forward() with tanh(), or clamp(-1, 1).",
            )

    def test_the_same_input_gives_the_same_pictures(self) -> None:
        """In evaluation mode the output is deterministic."""
        for label, generator in self._generators().items():
            x = some_input(generator, 2)
            torch.manual_seed(1)
            first = self._generate(label, generator, x)
            torch.manual_seed(2)
            demand(
                difference(first, self._generate(label, generator, x)) <= _EXACT,
                f"The {label} makes different pictures from the same input in evaluation mode. Switch off dropout and "
                "noise if self.training is False (nn.Dropout does so; functional.dropout needs "
                "training=self.training).",
            )

    def test_each_picture_is_made_alone(self) -> None:
        """Row ``i`` of the output depends only on row ``i`` of the input."""
        for label, generator in self._generators().items():
            x, others = some_input(generator, 3), some_input(generator, 3, seed=1)
            _pass_in_training(generator, x)
            _check_rows(label, partial(self._rows, label, generator), x, others)

    def test_weights_survive_a_file(self, tmp_path: Path) -> None:
        """A model that is saved and loaded makes bitwise identical pictures."""
        generator = self._generator()
        self._needs_weights(generator)
        x = some_input(generator, 2)
        _pass_in_training(generator, x)
        with torch.no_grad():  # like a trained model, with other weights than the initial ones
            for parameter in generator.parameters():
                parameter.mul_(1.1)
        expected = _repeated(partial(self._rows, "generator", generator), x)[0]
        with explained(
            "The generator's weights cannot be saved as safetensors",
            "Tensors that share memory, or that are views of another, cannot be in a state dict.",
        ):
            save_model(tmp_path / "model", generator, plugin=self.plugin, config=to_dict(self._settings))
        self._needs_building_on_meta()
        torch.manual_seed(1)  # random draws at construction must not matter
        kept = (
            "Everything that its pictures depend on must be in its state dict or follow from the config: make tensors "
            "parameters, or buffers (register_buffer)."
        )
        with explained("The saved generator cannot be loaded and used", kept):
            loaded = load_torch_model(f"local-dir:{tmp_path / 'model'}").generator
            found = loaded.generate(x, **self._options)
        ours, theirs = generator.state_dict(), loaded.state_dict()
        differ = [key for key in ours if key not in theirs or not torch.equal(ours[key].float(), theirs[key].float())]
        demand(not differ, f"Saved and loaded, the generator has other weights: {listed(differ)}. {kept}")
        demand(
            torch.equal(expected, found),
            f"Saved and loaded, the generator makes other pictures (they differ by {difference(expected, found):.2g}) "
            f"though its weights are the same. {kept}",
        )

    def test_precision_and_device_are_those_of_the_input(self) -> None:
        """float32 gives float32, float16 float16 and bfloat16 bfloat16, on the CPU and on a GPU if there is one."""
        devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        missing = []
        for label, built in self._generators().items():
            for device in devices:
                for dtype in (torch.float32, torch.float16, torch.bfloat16):
                    generator = copy.deepcopy(built).to(device, dtype)
                    x = some_input(generator, 2).to(device, dtype)
                    advice = "Take dtype and device of new tensors from the input, and make constants buffers."
                    with explained(f"The {label} fails in {dtype} on {device}", advice):
                        try:
                            y = generator.generate(x, **self._options)
                        except (RuntimeError, NotImplementedError) as error:
                            if "not implemented for" not in str(error):
                                raise
                            missing.append(f"{dtype} on {device} ({error})")  # torch has no such kernel here
                            continue
                    demand(
                        y.dtype == dtype and y.device == x.device,
                        f"The {label} makes {y.dtype} on {y.device} from {dtype} on {x.device}. It must return the "
                        "dtype and the device of its input: do not cast, or cast back.",
                    )
        if missing:
            pytest.skip(f"works where torch does; torch itself lacks {listed(missing)}")

    def test_the_smallest_and_oblong_pictures(self) -> None:
        """The generator works with the declared ``minimum_size`` and ``stride``."""
        seen = False
        for label, generator in self._generators().items():
            if generator.task == "noise-to-image":
                continue
            seen = True
            least, stride = fitting(generator, 1), generator.stride
            for more_rows, more_columns in ((0, 0), (0, 1), (1, 0), (2, 1), (3, 5)):
                x = some_pictures(1, least + more_rows * stride, least + more_columns * stride)
                height, width = x.shape[2:]
                claim = f"though it says stride = {stride} and minimum_size = {generator.minimum_size}"
                advice = "Declare the size that it needs: callers enlarge pictures to it."
                with explained(f"The {label} fails on a picture of {height} x {width} pixels, {claim}", advice):
                    y = generator.generate(x, **self._options)
                demand(
                    y.shape == x.shape,
                    f"The {label} makes {tuple(y.shape)} from a picture of {height} x {width} pixels, {claim}. "
                    f"{advice}",
                )
        if not seen:
            pytest.skip("pictures are made from noise, which has no height or width")

    def _model(self, generator: Generator) -> TorchModel:
        """A model that paints as it is: in a style of its own, if its plugin paints in any."""
        return TorchModel(self.plugin, generator, {"plugin": self.plugin, "style": {"pictures": ["its own"]}})

    def test_a_saved_style_paints_as_its_picture_does(self, tmp_path: Path) -> None:
        """What ``encode_style`` finds of a style picture is a part of the state, and paints as the picture does."""
        encode = self._part("encode_style")
        generator = self._generator()
        path = tmp_path / "style.png"
        images.encode(images.to_rgb(some_pictures(1, 64, 48)[0]), path)
        options = {**self._options, STYLE: (str(path),)}
        with explained("encode_style fails on a picture", "It gets the generator, and options as generate does."):
            changed = encode(generator, **options)
        state = generator.state_dict()
        wrong = [key for key, value in changed.items() if key not in state or value.shape != state[key].shape]
        demand(
            changed and not wrong,
            f"encode_style returns {listed(sorted(changed))}, which must be names and shapes of the state dict: they "
            "take the place of what is there.",
        )
        x = some_input(generator, 1)
        expected = self._generate("generator", generator, x, options)
        generator.load_state_dict({**state, **changed})
        found = self._generate("generator", generator, x, {**options, STYLE: ()})
        demand(
            difference(expected, found) <= _CLOSE,
            f"With what encode_style finds of a picture, the generator paints otherwise than with the option {STYLE} "
            f"(they differ by {difference(expected, found):.2g}). Paint in that state where no style is given.",
        )

    def test_photos_of_any_size_are_painted(self) -> None:
        """``model.paint()`` on odd, tiny and oblong photos gives paintings of exactly their size."""
        generator = self._generator()
        if generator.task == "noise-to-image":
            pytest.skip("pictures are made from noise")
        model = self._model(generator)
        for size in ((37, 53), (64, 20), (1, 1)):
            photo = Image.effect_noise(size, 64).convert("RGB")
            with explained(
                f"A photo of {size[0]} x {size[1]} pixels cannot be painted",
                "Photos are mirrored at their edges up to minimum_size and to a multiple of stride: are these true?",
            ):
                painting = model.paint(photo, **self._options)
            demand(
                painting.size == size,
                f"A photo of {size} pixels gives a painting of {painting.size}. Return pictures of the input's size.",
            )

    def test_photos_are_painted_over_strokes(self, tmp_path: Path) -> None:
        """With a brush too: any photo, transparent or of one pixel, and in tiles and in strips what the whole is."""
        generator = self._generator()
        if generator.task == "noise-to-image":
            pytest.skip("pictures are made from noise")
        model = self._model(generator)
        see_through = Image.effect_noise((90, 60), 64).convert("RGB")
        see_through.putalpha(Image.linear_gradient("L").resize((90, 60)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(underpainting, "FINISHING", _FINISHING)  # so that these photos are large ones
            for photo in (see_through, Image.new("RGB", (1, 1), "orange")):
                self._check_strokes(model, photo, tmp_path)

    def _check_strokes(self, model: TorchModel, photo: Image.Image, folder: Path) -> None:
        width, height = photo.size
        try:
            model.paint(photo, **self._options)
        except Exception:
            skip_after("test_photos_of_any_size_are_painted")
        what = f"A photo of {width} x {height} pixels"
        with explained(f"{what} cannot be painted over brush strokes", "It can without: what is special about these?"):
            whole, again = (model.paint(photo, brush=Brush(), **self._options) for _ in range(2))
        if whole.tobytes() != again.tobytes():
            skip_after("test_the_same_input_gives_the_same_pictures")
        demand(
            (whole.size, whole.mode) == (photo.size, photo.mode),
            f"{what}, {photo.mode}, becomes a painting of {whole.size}, {whole.mode}, over brush strokes.",
        )
        same = "The network's part is the same: does generate() depend on what it has painted before?"
        in_tiles = model.paint(photo, brush=Brush(), tile=32, **self._options)
        demand(in_tiles.tobytes() == whole.tobytes(), f"{what} becomes another painting over strokes in tiles. {same}")
        if find_spec("pyvips") is None:
            return
        source, target = folder / "photo.png", folder / "painting.png"
        photo.save(source)
        manner, options = model.painting({"brush": Brush(), **self._options})
        paint_large(model.running_on("torch"), source, target, manner=manner, overwrite=True, **options)
        with Image.open(target) as in_strips:
            demand(
                in_strips.tobytes() == whole.tobytes(),
                f"{what} becomes another painting over strokes in strips. {same}",
            )

    def test_tiles_are_what_the_whole_is(self) -> None:
        """``reach`` is correct, so that large pictures can be tiled; in float64, where rounding is negligible."""
        seen = False
        for label, generator in self._generators().items():
            if generator.task == "noise-to-image" or generator.reach is None:
                continue
            seen = True
            overlap = -(-generator.reach // generator.stride) * generator.stride
            height, width = fitting(generator, 2 * overlap + 40), fitting(generator, 2 * overlap + 72)
            generator = copy.deepcopy(generator).double()
            photo = images.to_rgb(some_pictures(1, height, width)[0])
            x = images.to_tensor(photo)[None].double()
            claim = f"though it says reach = {generator.reach}"
            with explained(f"The {label} cannot paint in tiles, {claim}", "Omit reach if there is no such bound."):
                whole = generator.generate(x, **self._options)
                parts = torch.full_like(whole, torch.nan)

                def lay(part: Floats, place: tuple[int, int], parts: Tensor = parts) -> None:
                    left, top = place
                    parts[0, :, top : top + part.shape[1], left : left + part.shape[2]] = torch.from_numpy(part)

                paint_tiles(TorchNetwork(generator), photo, lay, Tiling(32), self._options)
            far = difference(parts, whole)
            demand(
                far <= _CLOSE,
                f"The {label} paints differently in tiles than at once, by up to {far:.2g}, {claim}. Let reach be the "
                "distance in pixels within which the photo affects a pixel; omit it if there is no such bound.",
            )
        if not seen:
            pytest.skip("no generator declares its reach")

    def test_gradients_reach_every_parameter_of_a_generator(self) -> None:
        """Every trainable parameter receives a gradient."""
        self._part("trainer")
        for name, generator in self._networks().generators.items():
            label = f"generator {name!r}"
            if not trainable(generator):
                continue
            y = generator.train()(some_input(generator, 2))
            demand(
                y.requires_grad,
                f"The pictures of {label} carry no gradient, so it cannot learn. Do not detach(), and do not use "
                "no_grad() or inference_mode(), in forward().",
            )
            _check_gradients(label, generator, (y,))

    def test_noise_is_drawn_as_its_seed_says(self) -> None:
        """``noise(count, generator=...)``: count x noise_size, the same again for the same seed."""
        seen = False
        for label, generator in self._generators().items():
            if generator.task != "noise-to-image":
                continue
            seen = True
            first, again, other = (some_input(generator, 3, seed=seed) for seed in (0, 0, 1))
            demand(
                first.shape == (3, generator.noise_size),
                f"noise(3) of {label} is {tuple(first.shape)}. It must be (3, noise_size), here "
                f"(3, {generator.noise_size}).",
            )
            demand(
                torch.equal(first, again),
                f"noise() of {label} differs for one seed. Draw it from the torch.Generator that it is given.",
            )
            demand(
                not torch.equal(first, other) and not torch.equal(first[0], first[1]),
                f"noise() of {label} gives the same for every seed or row. Draw it from the torch.Generator that it "
                "is given.",
            )
        if not seen:
            pytest.skip("no generator takes noise")

    def test_generate_is_for_use(self) -> None:
        """It records no gradient, changes nothing, and refuses unknown options."""
        for label, generator in self._generators().items():
            before = {key: value.clone() for key, value in generator.state_dict().items()}
            y = self._generate(label, generator, some_input(generator, 1))
            demand(
                not y.requires_grad and all(parameter.grad is None for parameter in generator.parameters()),
                f"generate() of {label} leaves gradients behind. Detach what it returns, and ask torch.autograd.grad "
                "for gradients of the picture alone.",
            )
            differ = [key for key, value in generator.state_dict().items() if not torch.equal(before[key], value)]
            demand(not differ, f"generate() of {label} changes {listed(differ)}. It must not change the model.")
            try:
                generator.generate(some_input(generator, 1), **self._options, no_option_of_this_name=1)
            except TypeError:
                continue
            demand(False, f"generate() of {label} accepts an option that does not exist. Raise a TypeError.")


class DiscriminatorTests(Subject):
    """Every discriminator."""

    def test_judging_what_was_observed_is_forward(self) -> None:
        """judge(observe(pictures)) == forward(pictures): finite logits, one row per picture."""
        x = some_pictures(2, self._size)
        for label, discriminator in self._discriminators().items():
            logits = _judge(label, discriminator, x)
            for head in logits:
                demand(
                    isinstance(head, Tensor) and head.ndim > 0 and len(head) == len(x),
                    f"The {label} returns {_shape(head)} for {len(x)} pictures. It must return tensors of logits with "
                    "one row per picture.",
                )
                demand(head.isfinite().all(), f"The {label} returns logits that are not finite for ordinary pictures.")
            with explained(f"The {label} cannot judge what it observed", "judge() must accept observe()'s result."):
                again = discriminator.judge(discriminator.observe(x))
            demand(
                len(again) == len(logits)
                and all(difference(one, other) <= _EXACT for one, other in zip(logits, again, strict=True)),
                f"The {label} returns different logits from judge(observe(pictures)). Its forward() must be "
                "judge(observe(pictures)); leave forward() to the base class.",
            )

    def test_each_picture_is_judged_alone(self) -> None:
        """In evaluation mode, row ``i`` of the logits depends only on picture ``i``."""
        size = self._size
        x, others = some_pictures(3, size), some_pictures(3, size, seed=1)
        for label, discriminator in self._discriminators().items():
            _check_rows(label, partial(_judge, label, discriminator), x, others)

    def test_the_smallest_pictures_are_judged(self) -> None:
        """The discriminator works on pictures of the declared ``minimum_size``."""
        for label, discriminator in self._discriminators().items():
            least = discriminator.minimum_size
            with explained(
                f"The {label} fails on pictures of {least} x {least} pixels, its minimum_size",
                "Declare the size that it needs, so that a run on smaller pictures is refused with a reason.",
            ):
                discriminator(some_pictures(2, least))

    def test_gradients_flow_to_the_judged_pictures(self) -> None:
        """Through frozen parts too; observe() has no trainable parameters, and gradients reach all those of judge()."""
        size = self._size
        for name, discriminator in self._networks().discriminators.items():
            label = f"discriminator {name!r}"
            pictures = some_pictures(2, size).requires_grad_()
            with explained(f"The {label} fails", "It must accept pictures of the training size."):
                observed = discriminator.train().observe(pictures)
                logits = discriminator.judge(observed)
            loss = sum((head * torch.randn_like(head)).sum() for head in logits)
            gradient = None
            if isinstance(loss, Tensor) and loss.requires_grad:
                (gradient,) = torch.autograd.grad(loss, pictures, retain_graph=True, allow_unused=True)
            demand(
                gradient is not None and gradient.isfinite().all() and gradient.abs().sum() > 0,
                f"No gradient flows from the logits of {label} to the pictures, so a generator learns nothing from it. "
                "Do not detach(), and do not use no_grad(), in observe() or judge(); freeze parts by "
                "requires_grad_(False).",
            )
            through = [features for features in observed if features.requires_grad]
            trained = dict(trainable(discriminator))
            gradients = (
                torch.autograd.grad(
                    [f.sum() for f in through], list(trained.values()), retain_graph=True, allow_unused=True
                )
                if through and trained
                else ()
            )
            found = [key for key, gradient in zip(trained, gradients, strict=False) if gradient is not None]
            demand(
                not found,
                f"observe() of {label} uses trainable parameters ({listed(found)}), but its result is reused after "
                "their update. Move them to judge(), or freeze them by requires_grad_(False).",
            )
            auxiliary = discriminator.auxiliary_loss([features.detach() for features in observed])
            _check_gradients(label, discriminator, logits if auxiliary is None else [*logits, auxiliary])


def _check_attributes(label: str, generator: Any) -> None:
    demand(
        isinstance(generator, Generator),
        f"{label} is a {type(generator).__name__}. Make it a subclass of artgan.toolkit.Generator.",
    )
    demand(
        generator.task in ("image-to-image", "noise-to-image"),
        f"The task of {label} is {generator.task!r}. It must be 'image-to-image' or 'noise-to-image'.",
    )
    for attribute, least in (("stride", 1), ("minimum_size", 1), ("noise_size", 0), ("memory_per_pixel", 0)):
        value = getattr(generator, attribute)
        demand(
            isinstance(value, int) and value >= least,
            f"{label}: {attribute} is {value!r}. It must be a whole number, at least {least}.",
        )
    demand(
        generator.reach is None or (isinstance(generator.reach, int) and generator.reach >= 0),
        f"{label}: reach is {generator.reach!r}. It must be a number of pixels, or None.",
    )
    demand(
        generator.task == "image-to-image" or generator.noise_size > 0,
        f"{label} makes pictures from noise, but its noise_size is 0. Set it to the length of a noise vector.",
    )


def _pass_in_training(generator: Generator, x: Tensor) -> None:
    """A pass in training mode, to change running statistics from their initial values.

    A generator without parameters has none, and need not have a forward().
    """
    if trainable(generator):
        with torch.no_grad():
            generator.train()(x)
        generator.eval()


def _judge(label: str, discriminator: Discriminator, pictures: Tensor) -> Sequence[Tensor]:
    advice = "It must accept batches of any number of pictures of the training size."
    with explained(f"The {label} fails on {_shape(pictures)}", advice), torch.no_grad():
        logits: Sequence[Tensor] = discriminator(pictures)
    demand(
        isinstance(logits, Sequence),
        f"The {label} returns a {type(logits).__name__}. It must return a sequence of logits, one per head; for a "
        "single head: (logits,).",
    )
    return logits


def _repeated(run: Callable[[Tensor], Sequence[Tensor]], x: Tensor) -> Sequence[Tensor]:
    """The output for ``x``, if a second run gives the same; otherwise there is nothing to compare with."""
    made = run(x)
    if any(difference(one, again) > _EXACT for one, again in zip(made, run(x), strict=True)):
        skip_after("test_the_same_input_gives_the_same_pictures")
    return made


def _check_rows(label: str, run: Callable[[Tensor], Sequence[Tensor]], x: Tensor, others: Tensor) -> None:
    """Compare row 0 in two batches with no other common row, and each row on its own."""
    together, mixed = _repeated(run, x), run(torch.cat([x[:1], others[1:]]))
    advice = (
        "Do not use batch statistics in evaluation mode: nn.BatchNorm must keep running ones, and means are computed "
        "within a row, not over dimension 0."
    )
    for one, other in zip(together, mixed, strict=True):
        demand(
            difference(one[:1], other[:1]) <= _EXACT,
            f"The output of the {label} for a row changes with the other rows of the batch. {advice}",
        )
    for index in range(len(x)):
        for one, other in zip(together, run(x[index : index + 1]), strict=True):
            demand(
                one[index : index + 1].shape == other.shape and difference(one[index : index + 1], other) <= _CLOSE,
                f"The output of the {label} for a row on its own differs from that in a batch. {advice}",
            )


def _check_gradients(label: str, network: nn.Module, outputs: Sequence[Tensor]) -> None:
    """Every trainable parameter affects the network's output."""
    parameters = trainable(network)
    torch.manual_seed(0)
    total = sum((output * torch.randn_like(output)).sum() for output in outputs)
    assert isinstance(total, Tensor)
    gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    found = dict(zip(parameters, gradients, strict=True))
    without = [name for name, gradient in found.items() if gradient is None]
    demand(
        not without,
        f"No gradient reaches {listed(without)} of {label}, which would never learn. Use them in the output, look "
        "for a detach(), or freeze them by requires_grad_(False).",
    )
    demand(
        all(g.isfinite().all() for g in gradients) and any(g.abs().sum() > 0 for g in gradients),
        f"The gradients of {label} are all zero, or not finite. Look for a rounding, a sign or a clamp on the way.",
    )


def _shape(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
