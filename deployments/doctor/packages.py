"""The Python and the packages that this runs on, against what the project asks for."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from deployments.doctor.finding import Finding, Health, Kind, fine

PROJECT = "prefect-runbooks"

PYTHON = Kind(
    "python-unsupported",
    Health.BROKEN,
    "nothing was tested on this Python, and packages may not load",
    "make the virtual environment with a Python {wanted}: rm -r .venv; PYTHON=python3.12 ./dev install",
)
PACKAGE = Kind(
    "package-unsupported",
    Health.BROKEN,
    "what runs here was never tested together; of FastAPI from 0.155 on the Prefect server dies at its start, with "
    "SQLAlchemy from 2.1 on no schedule ever starts a run",
    "./dev install, or: pip install '{wanted}'",
)
KINDS = (PYTHON, PACKAGE)


@dataclass(frozen=True, slots=True)
class Package:
    """A package that the project asks for; `version` is None where it is not installed."""

    name: str
    wanted: str
    version: str | None

    @property
    def suits(self) -> bool:
        return self.version is not None and SpecifierSet(self.wanted).contains(self.version, prereleases=True)


@dataclass(frozen=True, slots=True)
class Environment:
    """What this process runs on."""

    python: str
    python_wanted: str
    packages: tuple[Package, ...]


def read() -> Environment:
    """The environment of this process.

    Raises:
        PackageNotFoundError: the project itself is not installed.
    """
    project = metadata.metadata(PROJECT)
    wanted = [Requirement(text) for text in metadata.requires(PROJECT) or ()]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    packages = tuple(Package(one.name, str(one.specifier), _version(one.name)) for one in needed)
    return Environment(platform.python_version(), project["Requires-Python"], packages)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def judge(found: Environment) -> Iterable[Finding]:
    """Whether Python and every package are what the project asks for."""
    if SpecifierSet(found.python_wanted).contains(found.python, prereleases=True):
        yield fine("Python", found.python)
    else:
        yield PYTHON.found("Python", f"{found.python}, not {found.python_wanted}", wanted=found.python_wanted)
    for package in found.packages:
        if not package.suits:
            seen = f"{package.version or 'not installed'}, not {package.wanted or 'any version'}"
            yield PACKAGE.found(f"package {package.name}", seen, wanted=f"{package.name}{package.wanted}")
    if all(package.suits for package in found.packages):
        told: Mapping[str, str | None] = {package.name.lower(): package.version for package in found.packages}
        shown = ", ".join(f"{name} {told[name]}" for name in ("prefect", "fastapi", "sqlalchemy") if name in told)
        yield fine("packages", f"all {len(found.packages)} as the project asks for, with {shown}")
