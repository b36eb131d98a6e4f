"""Pack a trained model's weights for a plugin's wheel, as float16; print the lines for the registry.

python scripts/bundle.py RUN/model plugins/artgan-cyclegan/src/artgan_cyclegan/weights/monet.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from safetensors.torch import save

import artgan
from artgan.testing import check_output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    model = artgan.load(f"local-dir:{options.model}")
    tensors = model.generator.state_dict()
    state = {key: (t.half() if t.is_floating_point() else t).contiguous() for key, t in tensors.items()}
    about = {"plugin": model.card["plugin"]}
    if model.brushwork is not None and model.brushwork.palette is not None:
        about["palette"] = model.brushwork.palette.to_dict()
    data = save(state, {"artgan": json.dumps(about)})
    options.out.write_bytes(data)
    if model.brushwork is not None:
        print(f"brushwork: {json.dumps(model.brushwork.to_card())}".replace('"', ""))
    print(f"sha256: {hashlib.sha256(data).hexdigest()}")
    print(f"size: {len(data)}")
    print(f"check: {{seed: 0, output: {check_output(model, 0)}, tolerance: 2}}")


if __name__ == "__main__":
    main()
