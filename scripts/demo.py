"""Paint a real photo: a given one, or a sample photo from the installed scikit-learn."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> int:
    given = sys.argv[1:]
    photo = Path(given[0]) if given else sample_photo()
    out = Path("demo")
    artgan = str(Path(sys.executable).with_name("artgan"))
    command = [artgan, "paint", str(photo), "--model", "monet", "-o", str(out), "--overwrite"]
    print("artgan paint", photo.name, "--model monet -o demo --overwrite")
    status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if status == 0:
        print(f"The painting is {(out / photo.name).resolve()}")
    return status


def sample_photo() -> Path:
    """A temple in China, by danielbuechele (CC BY 2.0), which scikit-learn ships."""
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("demo: scikit-learn, which has the sample photo, is missing; give a photo: make demo PHOTO=path")
    return Path(spec.submodule_search_locations[0], "datasets", "images", "china.jpg")


if __name__ == "__main__":
    sys.exit(main())
