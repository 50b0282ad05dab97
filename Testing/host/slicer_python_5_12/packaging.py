"""slicer.packaging that installs nothing and remembers what it was asked for.

A test says with `installed` what pip_check should find, and reads `calls` afterwards.
"""

from pathlib import Path

from packaging.requirements import Requirement

calls: list[tuple[str, dict]] = []
installed: set[str] = set()
declined = False


def load_requirements(path) -> list[Requirement]:
    """The requirements of a requirements.txt file."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pip_check(req) -> bool:
    """Whether all requirements are among `installed`."""
    return all(requirement.name.lower() in installed for requirement in _requirements(req))


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    no_deps_requirements=None,
) -> list[str]:
    """Record the call; afterwards the requirements count as installed. RuntimeError when declined."""
    _record("pip_ensure", **locals())
    if declined and not pip_check(requirements):
        raise RuntimeError("Installation was declined")
    installed.update(requirement.name.lower() for requirement in _requirements(requirements))
    return []


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    logCallback=None,
    completedCallback=None,
):
    """Record the call; afterwards the requirements count as installed."""
    _record("pip_install", **locals())
    names = requirements.split() if isinstance(requirements, str) else requirements
    installed.update(requirement.name.lower() for requirement in _requirements(names))
    if completedCallback is not None:
        completedCallback(0)


def isPipInstallInProgress() -> bool:
    """Nothing runs in the background here."""
    return False


def _record(name: str, **arguments) -> None:
    calls.append((name, arguments))


def _requirements(req) -> list[Requirement]:
    many = req if isinstance(req, list | tuple) else [req]
    return [one if isinstance(one, Requirement) else Requirement(one) for one in many]
