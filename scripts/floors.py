"""Print the minimum version of each package in the project files, one pip constraint per line.

`python -m pip install -c FILE -r requirements-dev.txt` then installs the oldest supported versions. The project's own
distributions are omitted, since they come from the checkout.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ROOT = Path(__file__).resolve().parent.parent


def floors(projects: list[Path]) -> dict[str, Version]:
    """The highest of the minimum versions that the project files require of each package.

    Raises:
        SystemExit: a requirement has no `>=`, so its minimum version is unknown.
    """
    found: dict[str, Version] = {}
    own = {str(canonicalize_name(tomllib.loads(file.read_text("utf-8"))["project"]["name"])) for file in projects}
    for file in projects:
        for text in _requirements(file):
            requirement = Requirement(text)
            name = str(canonicalize_name(requirement.name))
            if name in own or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
                continue
            least = [Version(part.version) for part in requirement.specifier if part.operator == ">="]
            if not least:
                raise SystemExit(f"{file}: {text!r} names no minimum version; write {name}>=VERSION")
            found[name] = max([*least, *([found[name]] if name in found else [])])
    return found


def _requirements(file: Path) -> Iterator[str]:
    project = tomllib.loads(file.read_text("utf-8"))
    yield from project.get("build-system", {}).get("requires", [])
    yield from project["project"].get("dependencies", [])
    for extra in project["project"].get("optional-dependencies", {}).values():
        yield from extra


if __name__ == "__main__":
    for package, version in sorted(floors([_ROOT / "pyproject.toml", *_ROOT.glob("plugins/*/pyproject.toml")]).items()):
        print(f"{package}=={version}")
