"""Pack a trained model's weights for a plugin's wheel, as float16; print the lines for the registry.

    python scripts/bundle.py RUN/model -o plugins/artgan-cyclegan/src/artgan_cyclegan/weights/monet.safetensors
    python scripts/bundle.py RUN/models/step-00000500 RUN/models/step-00001000 --brush monet.json -o ...

Of several models of one run the weights are averaged (Izmailov et al., 2018, arXiv:1803.05407). The brushwork is the
first model's own, or with --brush that of a model or a file: of a run whose photos were under-painted beforehand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save

import artgan
from artgan.files import atomic_write
from artgan.models.torch_model import TorchModel
from artgan.testing import check_output
from artgan.training.underpaint import Underpainter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--brush", metavar="MODEL|FILE")
    options = parser.parse_args()
    models = [artgan.load(f"local-dir:{path}") for path in options.models]
    model, brushwork = models[0], models[0].brushwork
    if options.brush:
        brushwork = Underpainter.of(options.brush).brushwork
    states = [one.generator.state_dict() for one in models]
    means = {
        key: torch.stack([state[key] for state in states]).mean(0) if tensor.is_floating_point() else tensor
        for key, tensor in states[0].items()
    }
    state = {key: (t.half() if t.is_floating_point() else t).contiguous() for key, t in means.items()}
    about = {"plugin": model.card["plugin"]}
    if brushwork is not None and brushwork.palette is not None:
        about["palette"] = brushwork.palette.to_dict()
    data = save(state, {"artgan": json.dumps(about)})
    with atomic_write(options.out) as part:
        part.write_bytes(data)
    model.generator.load_state_dict({key: t.to(states[0][key].dtype) for key, t in state.items()})
    if brushwork is not None:
        print(f"brushwork: {json.dumps(brushwork.to_card())}".replace('"', ""))
    print(f"sha256: {hashlib.sha256(data).hexdigest()}")
    print(f"size: {len(data)}")
    packed = TorchModel(model.name, model.generator, model.card, brushwork)
    # On other processors a few strokes begin elsewhere: colors then differ by 1.
    tolerance = 2 if brushwork is None else 6
    print(f"check: {{seed: 0, output: {check_output(packed, 0)}, tolerance: {tolerance}}}")


if __name__ == "__main__":
    main()
