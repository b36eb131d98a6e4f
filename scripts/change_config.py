"""Save a model under another configuration, to measure what an option does. The weights stay the same.

python scripts/change_config.py monet DIR remove_grid=false
python scripts/measure.py local-dir:DIR --photos PHOTOS --paintings PAINTINGS
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

import artgan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a registry name, or local-dir:PATH")
    parser.add_argument("out", type=Path, help="the new model's folder")
    parser.add_argument("options", nargs="+", metavar="KEY=VALUE", help="values of the configuration, as in YAML")
    options = parser.parse_args()
    changes = dict(text.partition("=")[::2] for text in options.options)
    artgan.load(options.model).save_pretrained(options.out, examples=False)
    file = options.out / "config.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    for measured in ("metrics", "check"):  # of the original model
        card.pop(measured, None)
    card["config"] |= {key: yaml.safe_load(value) for key, value in changes.items()}
    file.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    artgan.load(f"local-dir:{options.out}")  # refuses a configuration that the weights do not fit


if __name__ == "__main__":
    main()
