"""Which versions serve a model: decided from the image's tag, what made the model, and what is installed here.

Pure rules; making an environment is somebody else's. A pickle is bound to the release that made it, so under `auto` its
maker decides; without one the installed framework serves, as that starts in milliseconds. `tag` and strict do what the
tag says, and differ in what happens where that cannot be had. Requirements of the model's own that name the framework
go before all of that, as on AWS, where they are installed over what the image has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mooring.engines.evidence import BINARY
from mooring.engines.images import FRAMEWORKS, Runtime
from mooring.engines.pins import OLDEST_PYTHON, Pin, default_python, pinned, running_python, serves_under
from mooring.engines.tags import release
from mooring.errors import StartFailure

SWITCH = "MOORING_IMAGES_VERSIONS=tag serves that"
_BINARY_UNTIL = "3.0"
"""The last XGBoost that reads the old binary format."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What should serve."""

    because: str
    """Why; it follows on what serves."""
    own: bool = False
    """Whether that takes an environment; otherwise the installed framework serves."""
    theirs: bool = False
    """Whether the model's own requirements name the framework."""
    serves: str = ""
    """What the environment holds of the framework, for people."""
    packages: tuple[str, ...] = ()
    """The same for uv, with what belongs beside it."""
    pythons: tuple[str, ...] = ("",)
    """As uv is asked for them, the best first; empty text is the Python that runs Mooring."""
    nearest: bool = False
    """Whether the installed framework may serve where that environment cannot be made."""
    named: str = ""
    """What the tag names and which setting serves that, where something else is wanted."""


def plan(runtime: Runtime, made_with: Mapping[str, str], here: Mapping[str, str], *, policy: str, strict: bool) -> Plan:
    """What should serve `runtime`. Raises `StartFailure` where strictness asks for what no tag says."""
    named = runtime.names()
    if strict or (policy == "tag" and named):
        return _by_tag(runtime, named, here, strict=strict)
    main = FRAMEWORKS[runtime.framework].distributions[0]
    maker = _maker(made_with.get(main), named.get(main), here.get(main))
    if maker is not None and (main not in here or release(maker) != release(here[main])):
        pins: tuple[Pin, ...] = (Pin(main, ".".join(map(str, release(maker)))),)
        differs = main in named and release(named[main]) != release(maker)
        return Plan(
            f"since {_said(made_with[main])} made the model",
            own=True,
            serves=_said_of(pins),
            packages=packages_of(runtime, pins),
            pythons=(default_python(pins),),
            nearest=main in here,
            named=_tag_names(named) if differs else "",
        )
    if main not in here:
        pins = _pins(runtime, named)
        return Plan(
            f"since {main} is not installed beside Mooring",
            own=True,
            serves=_said_of(pins),
            packages=packages_of(runtime, pins),
            pythons=_distinct(default_python(pins), runtime.tag.python),
        )
    because = "as installed beside Mooring" if maker is None else f"since {_said(made_with[main])} made the model"
    return Plan(because, named="" if _agree(here, named) else _tag_names(named))


def plan_of_requirements(runtime: Runtime, pin: Pin, python: str | None, *, policy: str, strict: bool) -> Plan:
    """What should serve a model whose own requirements name the framework; `python` is the model's, if it names one."""
    if python is None and (strict or policy == "tag"):
        python = _python_of_tag(runtime, strict=strict)
    pythons = _distinct(python, default_python((pin,)))
    return Plan(
        "as the model's requirements say",
        own=True,
        theirs=True,
        serves=_said_of((pin,)),
        packages=packages_of(runtime, (pin,))[1:],  # the pin itself is theirs
        pythons=pythons[:1] if strict else pythons,
    )


def _by_tag(runtime: Runtime, named: Mapping[str, str], here: Mapping[str, str], *, strict: bool) -> Plan:
    main = FRAMEWORKS[runtime.framework].distributions[0]
    if main not in named:
        raise StartFailure(
            f'Image "{runtime.image}" cannot be served as its tag says, because that names no version of {main}. '
            f"MOORING_HOSTING_STRICT is on: name a tag with a version, or turn it off."
        )
    python = _python_of_tag(runtime, strict=strict)
    because = "as the image's tag says"
    same = main in here and _agree(here, named)
    if same and python in (None, running_python()):
        return Plan(because)
    pins = _pins(runtime, named)
    # Where only the Python differs, the installed framework is nearer than an environment of the same versions.
    others = () if python and (strict or same) else (default_python(pins),)
    return Plan(
        because,
        own=True,
        serves=_said_of(pins),
        packages=packages_of(runtime, pins),
        pythons=_distinct(python, *others),
        nearest=main in here and not strict,
    )


def _python_of_tag(runtime: Runtime, *, strict: bool) -> str | None:
    python = runtime.tag.python
    if python is None or serves_under(python):
        return python
    if strict:
        raise StartFailure(
            f'Image "{runtime.image}" cannot be served as its tag says, because that names Python {python}, and the '
            f"model server needs {'.'.join(map(str, OLDEST_PYTHON))}. MOORING_HOSTING_STRICT is on: turn it off."
        )
    return None


def _maker(made_with: str | None, named: str | None, here: str | None) -> str | None:
    """The version that made the model; for the old binary format without one, a version that can read it."""
    if made_with != BINARY:
        return made_with
    readers = (version for version in (here, named) if version and release(version) <= release(_BINARY_UNTIL))
    return next(readers, _BINARY_UNTIL)


def _said(made_with: str) -> str:
    return "an old version that wrote the binary format" if made_with == BINARY else made_with


def _agree(here: Mapping[str, str], named: Mapping[str, str]) -> bool:
    """Whether what is here is of the releases that are named, as far as both tell."""
    return all(release(here[name]) == release(version) for name, version in named.items() if name in here)


def _pins(runtime: Runtime, named: Mapping[str, str]) -> tuple[Pin, ...]:
    """A pin for what the image is about, and for whatever else the tag names."""
    main, *others = FRAMEWORKS[runtime.framework].distributions
    return (Pin(main, named.get(main)), *(Pin(other, named[other]) for other in others if other in named))


def packages_of(runtime: Runtime, pins: Iterable[Pin]) -> tuple[str, ...]:
    """What uv is asked for, for an image's processor."""
    return tuple(package for pin in pins for package in pinned(pin, gpu=runtime.tag.gpu))


def _said_of(pins: Iterable[Pin]) -> str:
    return " and ".join(map(str, pins))


def _tag_names(named: Mapping[str, str]) -> str:
    return f"the image's tag names {listed(named)} ({SWITCH})"


def listed(versions: Mapping[str, str]) -> str:
    """`transformers 4.51.3 and torch 2.6.0`."""
    return " and ".join(f"{name} {version}" for name, version in versions.items())


def _distinct(*pythons: str | None) -> tuple[str, ...]:
    """Without repetition, and without what is absent or too old; the Python that runs Mooring is the empty text."""
    asked = ("" if python == running_python() else python for python in pythons if python is not None)
    return tuple(dict.fromkeys(python for python in asked if not python[:1].isdigit() or serves_under(python)))
