"""From an image URI to what can serve it here.

Guarantees: an image that cannot run here is refused with a sentence that names the URI and the reason, before
anything is fetched. The operator's own commands are asked first; then repositories are matched by name, whatever the
account and region, as people copy URIs between both.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from mooring.engines.pins import name_of
from mooring.engines.prebuilt import table
from mooring.engines.tags import NO_TAG, Tag, parse
from mooring.errors import StartFailure
from mooring.image_commands import Commands

COMMAND = "command"
"""The framework of an image that the operator's own command serves."""
MLFLOW = "mlflow"
_MLFLOW_REPOSITORY = "mlflow-pyfunc"
"""What `mlflow sagemaker build-and-push-container` calls its repository, in an account of one's own."""
_NOT_HERE = {"huggingface-tensorflow-inference", "sagemaker-pytorch"}  # another framework, or another contract


@dataclass(frozen=True, slots=True)
class Framework:
    """One of the model server's frameworks, as Python knows it."""

    distributions: tuple[str, ...]
    """What a tag names versions of; the first is what an image is about."""
    aliases: tuple[str, ...] = ()
    """Other distributions that the first one may come from."""
    forks: bool = True
    """Whether a zygote can import it; what cannot be forked always has an environment."""

    @property
    def installed(self) -> bool:
        """Whether it is installed beside Mooring and can serve from there."""
        return self.distributions[0] in self.versions_here()

    def versions_here(self) -> dict[str, str]:
        """Of the distributions that are installed beside Mooring and can serve from there."""
        if not self.forks:
            return {}
        main, *others = self.distributions
        found = {main: _version_of(main, *self.aliases), **{other: _version_of(other) for other in others}}
        return {name: version for name, version in found.items() if version is not None}


FRAMEWORKS = {
    "sklearn": Framework(("scikit-learn",)),
    "xgboost": Framework(("xgboost",), aliases=("xgboost-cpu",)),
    "pytorch": Framework(("torch",)),
    "huggingface": Framework(("transformers", "torch")),
    MLFLOW: Framework(("mlflow",), aliases=("mlflow-skinny",), forks=False),
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What serves an image."""

    image: str
    framework: str
    """One of `FRAMEWORKS`, or `COMMAND`."""
    tag: Tag = NO_TAG
    command: tuple[str, ...] = ()
    """The operator's words, placeholders included."""

    @property
    def container_version(self) -> str | None:
        """Of AWS's container, such as `1.2-1`, where its answers depend on it."""
        if self.tag.version is None or self.tag.revision is None:
            return None
        return f"{self.tag.version}-{self.tag.revision}"

    def names(self) -> dict[str, str]:
        """Versions that the tag names, by distribution."""
        main, *others = FRAMEWORKS[self.framework].distributions
        named = {main: self.tag.version}
        if others:  # the repository is named after what lies below
            named = {main: self.tag.transformers, **dict.fromkeys(others, self.tag.version)}
        return {name: version for name, version in named.items() if version is not None}


def runtime_of(image: str, commands: Commands) -> Runtime:
    """What runs `image` on this machine. Raises `StartFailure` saying why nothing does."""
    for pattern, words in commands.items():
        if fnmatchcase(image, pattern):
            return Runtime(image, COMMAND, command=words)
    repository, tag = _taken_apart(image)
    framework = MLFLOW if repository == _MLFLOW_REPOSITORY else _frameworks().get(repository)
    if framework is None:
        raise StartFailure(
            f'Image "{image}" cannot run here: containers are not supported yet, its repository "{repository}" is none '
            f"of those that run as processes ({', '.join(sorted(FRAMEWORKS))}), and no pattern in "
            f"MOORING_IMAGES_COMMANDS matches it."
        )
    if framework not in FRAMEWORKS or repository in _NOT_HERE:
        raise StartFailure(
            f'Image "{image}" cannot run here: its framework ({framework}) needs a container, and containers are not '
            f"supported yet; a command of your own can serve it (MOORING_IMAGES_COMMANDS)."
        )
    return Runtime(image, framework, parse(repository, tag))


def is_installed(requirement: str) -> bool:
    """Whether the distribution of a requirement is installed beside Mooring."""
    return _version_of(name_of(requirement)) is not None


def _taken_apart(image: str) -> tuple[str, str]:
    """Repository and tag, without registry and digest."""
    name = image.split("@", 1)[0].rsplit("/", 1)[-1]
    repository, _, tag = name.partition(":")
    return repository, tag


def _version_of(*names: str) -> str | None:
    for name in names:
        try:
            return importlib.metadata.version(name).partition("+")[0]  # the build's own part is on no index
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


@cache
def _frameworks() -> dict[str, str]:
    """Framework by repository, from the table of AWS's prebuilt images."""
    return {group["repository"]: group["framework"] for group in table()["images"]}
