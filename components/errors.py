"""The one error tree: every failure that a user can fix is a `FovealError` that says how.

    FovealError
    ├── InputError            what the user gave cannot be used
    │   ├── ConfigError         a parameter, a YAML file, a target
    │   ├── DatasetError        labels, splits, class names
    │   ├── ImageError          one image that cannot be read
    │   └── ModelError          a model file that is missing, corrupt or of another kind
    │       └── UntrustedModelError   loading it would execute code, and nobody allowed that
    ├── UnavailableError      a backend, a device or an optional package is not here
    │   └── OutageError         a host, a store or a mount does not answer
    ├── BudgetError           no variant of a model meets the limits of its target
    ├── PassError             an optimization pass could not do what it was asked
    ├── BundleError           a bundle is damaged or does not reproduce its golden outputs
    ├── RegistryError         the model registry lacks what was asked for, or refused
    │   ├── NotRegisteredError    no version of the model was ever released
    │   └── NoChampionError       there are versions, and none was promoted
    └── IncompatibleError     two things that must agree (recipes, classes, columns) do not

Third-party exceptions are translated where they enter (`raise … from error`), so callers
catch this tree only.
"""

from __future__ import annotations

import re

from components.credentials import redact
from components.printing import printed

_BREAK = re.compile(r"\s*[\r\n]\s*")
_LONGEST = 4000  # characters of each part of an error: it is to be read
_SCANNED = 100_000  # characters in which credentials are looked for
_END = 200  # of a text that is too long: it often names the file


def _bounded(text: str) -> str:
    """Return a text in one printable line without credentials, a longer one without its middle."""
    shown = printed(_BREAK.sub(" ", redact(text[:_SCANNED])))
    if len(shown) <= _LONGEST:
        return shown
    # half of an address may end a text that was cut
    end = shown[-_END:] if len(text) <= _SCANNED else ""
    return f"{shown[: _LONGEST - len(end) - 3]} … {end}".rstrip()


class FovealError(Exception):
    """A failure that names what was expected and found, and what to do; never a URL's password.

    Each of the three is one line of at most four thousand characters, in which nothing steers a
    terminal.

    Arguments:
        expected: what would have been right, e.g. ``"a folder of images"``.
        found: what was there instead, e.g. ``"an empty folder: shots/"``.
        hint: what the user can do, as an imperative, e.g. ``"pass --images"``.
    """

    def __init__(self, expected: str, *, found: str, hint: str = "") -> None:
        self.expected, self.found, self.hint = _bounded(expected), _bounded(found), _bounded(hint)
        super().__init__(self.expected, self.found, self.hint)

    def __str__(self) -> str:
        line = f"expected {self.expected}, found {self.found}"
        return f"{line}; {self.hint}" if self.hint else line

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.expected, self.found, self.hint)


def _rebuild(kind: type[FovealError], expected: str, found: str, hint: str) -> FovealError:
    return kind(expected, found=found, hint=hint)


class InputError(FovealError):
    """Input of the user that cannot be used."""


class ConfigError(InputError):
    """A parameter, a configuration file or a target is wrong."""


class DatasetError(InputError):
    """A labelled dataset is missing, has no labels, or contradicts itself."""


class ImageError(InputError):
    """One image cannot be read as a picture."""


class ModelError(InputError):
    """A model file is missing, corrupt or of an unsupported kind."""


class UntrustedModelError(ModelError):
    """Loading this model would execute code from the file, and that was not allowed."""


class UnavailableError(FovealError):
    """A backend, a device or an optional package is not on this machine."""


class OutageError(UnavailableError):
    """A host, a store or a mount does not answer.

    What was asked for is not at fault, as far as anybody can tell.
    """


class BudgetError(FovealError):
    """No variant of a model meets the limits of its target."""


class BaselineError(FovealError):
    """A model as given is no better than chance, or does not agree with its own framework."""


class PassError(FovealError):
    """An optimization pass could not produce what it was asked for."""


class BundleError(FovealError):
    """A bundle is damaged, or does not reproduce its own golden outputs."""


class RegistryError(FovealError):
    """The model registry lacks what was asked for, or refused the change."""


class NotRegisteredError(RegistryError):
    """No version of this model was ever released."""


class NoChampionError(RegistryError):
    """Versions of this model are registered, and none of them was promoted yet."""


class IncompatibleError(FovealError):
    """Two things that must agree, such as statistics recipes or class names, do not."""
