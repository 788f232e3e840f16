"""Exceptions and warnings."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass


class TadpoolError(Exception):
    """Why something has no result, and what to do about it."""

    def __init__(self, message: str) -> None:
        super().__init__(in_python(message))


class ModelError(TadpoolError):
    """A model description or an ONNX file cannot be used."""


class MissingFileError(ModelError, FileNotFoundError):
    """A file is not there."""


@dataclass(frozen=True)
class Problem:
    """Something in a network that is not supported."""

    node: str
    """Name of the ONNX node."""
    op: str
    """Its operator."""
    what: str
    """The unsupported feature."""
    remedy: str
    """What to do about it."""


class UnsupportedModelError(ModelError):
    """The network is not a supported MetaFormer; `problems` has every reason at once."""

    problems: tuple[Problem, ...]

    def __init__(
        self, message: str, problems: Iterable[Problem | tuple[str, str, str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.problems = tuple(
            problem if isinstance(problem, Problem) else Problem(*problem) for problem in problems
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.problems)


class ImageError(TadpoolError, ValueError):
    """A picture, or a folder of them, cannot be used."""


class QuantizationError(TadpoolError):
    """The network has no integer form, or its float form is not confirmed."""


class BudgetError(TadpoolError):
    """A budget of flash, RAM or time cannot be kept."""


class BuildError(TadpoolError):
    """A firmware image cannot be built, or does not fit its board."""


class BoardError(TadpoolError):
    """There is no such board, it cannot be reached, or it does not answer as it should."""


class RecordFileError(TadpoolError, ValueError):
    """A record cannot be read or written."""


class TadpoolWarning(UserWarning):
    """Something works, but probably not as well as it could."""


_OPTION = re.compile(r"`--([a-z][a-z0-9-]*) ([^`\s]+)`")


def in_python(message: str) -> str:
    """Options of the command that a message names, as arguments: `--weights int8` as
    `weights="int8"`."""
    return _OPTION.sub(lambda it: f'`{it[1].replace("-", "_")}="{it[2]}"`', message)


def warn(messages: Iterable[str], level: int) -> None:
    """Warns with each message, as from `level` callers above this one."""
    for message in messages:
        warnings.warn(in_python(message), TadpoolWarning, stacklevel=level + 1)
