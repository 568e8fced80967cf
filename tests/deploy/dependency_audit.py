"""Audit of the dependencies that needs no network; `make lint` runs it.

It checks that the lock files agree with `pyproject.toml` and with each other, that each package is
pinned by hashes, that the installed versions are the locked ones, and that the licences of the
packages in the image are accepted. It does NOT know of vulnerabilities: for these, give the SBOM of
the image to a scanner that has a current database.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import msgspec
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<rest>[^\\\n]+)\\?$")
_ACCEPTED_LICENCES = re.compile(
    r"\b(apache|bsd|0bsd|mit|mit-0|psf|python software foundation|python-2\.0|mpl|mozilla|isc|zlib"
    r"|unlicense|cc0)\b",
    re.IGNORECASE,
)


class Pin(msgspec.Struct, frozen=True):
    """Entry of a lock file."""

    version: str
    marker: str
    hashes: int

    @property
    def applies(self) -> bool:
        return not self.marker or Marker(self.marker).evaluate()


def read_lock(text: str) -> dict[str, Pin]:
    """Returns the entries of a lock file by name."""
    pins: dict[str, Pin] = {}
    name = ""
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            version, _, marker = match["rest"].partition(";")
            name = canonicalize_name(match["name"])
            pins[name] = Pin(version.strip(), marker.strip(), 0)
        elif name and line.strip().startswith("--hash=sha256:"):
            pins[name] = msgspec.structs.replace(pins[name], hashes=pins[name].hashes + 1)
        elif line.strip() and not line.startswith("#"):
            pins[line.strip()] = Pin("", "", 0)
    return pins


def find_unpinned(pins: Mapping[str, Pin]) -> Iterator[str]:
    """Yields a problem for each entry without an exact version or without hashes."""
    for name, pin in pins.items():
        if not pin.version or not pin.hashes:
            yield f"{name} is not pinned by version and hashes; run `make lock`"


def find_conflicts(one: Mapping[str, Pin], other: Mapping[str, Pin]) -> Iterator[str]:
    """Yields a problem for each package of `one` that `other` does not have in that version."""
    for name, pin in one.items():
        if name not in other or other[name].version != pin.version:
            yield f"{name} {pin.version} differs between the lock files; run `make lock`"


def find_unmet(requirements: list[str], pins: Mapping[str, Pin]) -> Iterator[str]:
    """Yields a problem for each requirement that a lock file does not meet."""
    for requirement in map(Requirement, requirements):
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or not requirement.specifier.contains(pin.version, prereleases=True):
            yield f"the lock file does not meet {requirement}; run `make lock`"


def find_drift(pins: Mapping[str, Pin]) -> Iterator[str]:
    """Yields a problem for each package that is installed in another version than locked."""
    for name, pin in pins.items():
        if pin.applies and (installed := _installed(name)) and installed.version != pin.version:
            yield f"{name} {installed.version} is installed instead of {pin.version}"


def find_licence_problems(pins: Mapping[str, Pin]) -> Iterator[str]:
    """Yields a problem for each installed package without an accepted licence."""
    for name in pins:
        if (installed := _installed(name)) and not is_accepted(licence_of(installed)):
            yield f"the licence of {name} is not accepted: {licence_of(installed) or 'unknown'}"


def is_accepted(licence: str) -> bool:
    """Returns True for a licence that names an accepted one."""
    return _ACCEPTED_LICENCES.search(licence) is not None


def licence_of(package: Distribution) -> str:
    """Returns the licence from the metadata of a package, the first 200 characters."""
    metadata = package.metadata
    names = ("License-Expression", "Classifier", "License")
    texts = [text for name in names for text in metadata.get_all(name) or []]
    return " ".join(text for text in texts if "::" not in text or "License ::" in text)[:200]


def audit(root: Path = ROOT) -> list[str]:
    """Returns all problems."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    service = read_lock((root / "requirements.txt").read_text())
    dev = read_lock((root / "requirements-dev.txt").read_text())
    build = read_lock((root / "deploy" / "requirements-build.txt").read_text())
    speech = read_lock((root / "deploy" / "requirements-transcription.txt").read_text())
    extras = project["optional-dependencies"]
    tools = [text for text in extras["dev"] if not text.startswith(project["name"])]
    return [
        *(problem for pins in (service, dev, build, speech) for problem in find_unpinned(pins)),
        *find_conflicts(service, dev),
        *find_conflicts(build, dev),
        *find_conflicts(speech, dev),
        *find_unmet(project["dependencies"], service),
        *find_unmet([*extras["embedded"], *tools], dev),
        *find_drift(dev),
        *find_licence_problems(service | speech),
    ]


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    problems = audit()
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
