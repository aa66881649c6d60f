"""Every error that Mooring raises on purpose, in the words of the domain.

::

    MooringError
    ├── BadInput                  the caller can mend it; `str()` says what, where and what to do
    │   ├── SettingsError         a setting, flag or environment variable
    │   ├── Refused               an operation refused on semantic grounds (AWS: ValidationException)
    │   │   ├── NotFound
    │   │   ├── AlreadyExists
    │   │   ├── InProgress
    │   │   └── KmsError          what KMS refuses, under KMS's own code
    │   └── LimitExceeded         an account or machine limit (AWS: ResourceLimitExceeded)
    ├── NotInstalled              an extra of Mooring's that the call needs
    ├── ArtifactError             model data that cannot be fetched or unpacked
    ├── StartFailure              a replica that did not become healthy
    │   ├── ZygoteLost            its parent ended first; another start may do
    │   └── EnvironmentFailure    an environment with the wanted packages cannot be made
    ├── DataDirectoryError        in use, unwritable, or from a newer version
    └── Unavailable               a part of Mooring is down for now; trying again is right

Nothing here knows HTTP: `mooring.api.errors` maps these to AWS codes, the command line prints them as one line.
"""

from __future__ import annotations


class MooringError(Exception):
    """The root. The docstring of a class is its message when none is given."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or type(self).__name__).strip())


class BadInput(MooringError):
    """The input cannot be used."""


class SettingsError(BadInput):
    """A setting is not valid."""


class BadPair(BadInput):
    """A certificate and its key cannot be used."""


class Refused(BadInput):
    """The operation is refused."""


class NotFound(Refused):
    """The named thing does not exist."""


class AlreadyExists(Refused):
    """The name is taken."""


class InProgress(Refused):
    """The endpoint is in progress."""


class KmsError(Refused):
    """A key cannot be used."""

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        """KMS's name of it, such as `DisabledException`."""
        super().__init__(message)


class LimitExceeded(BadInput):
    """A limit is reached."""


class NotInstalled(MooringError):
    """An extra of Mooring's is not installed."""


class ArtifactError(MooringError):
    """Model data could not be fetched or unpacked."""


class StartFailure(MooringError):
    """A replica did not become healthy."""

    hopeless = True
    """Another start would fail in the same way."""


class ZygoteLost(StartFailure):
    """The zygote ended before it had started the replica."""

    hopeless = False


class EnvironmentFailure(StartFailure):
    """An environment could not be made."""


class DataDirectoryError(MooringError):
    """The data directory cannot be used."""


class Unavailable(MooringError):
    """A part of Mooring is not available right now."""
