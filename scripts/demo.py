"""Paint a real photo: a given one, or a sample photo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from artgan import PictureError
from artgan.data.samples import sample_photos


def main() -> int:
    given = sys.argv[1:]
    try:
        photo = Path(given[0]) if given else sample_photos()[0]
    except PictureError as error:
        sys.exit(f"demo: {error}; or give a photo: make demo PHOTO=path")
    out = Path("demo")
    artgan = str(Path(sys.executable).with_name("artgan"))
    command = [artgan, "paint", str(photo), "--model", "monet", "-o", str(out), "--overwrite"]
    print("artgan paint", photo.name, "--model monet -o demo --overwrite")
    status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if status == 0:
        print(f"The painting is {(out / photo.name).resolve()}")
    return status


if __name__ == "__main__":
    sys.exit(main())
