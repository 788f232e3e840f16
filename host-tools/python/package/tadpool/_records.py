"""Records: figures with all that they depend on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tadpool import _tadpool
from tadpool._reports import _Report, build, report


@dataclass(frozen=True)
class Figure:
    """A number that was found out."""

    name: str
    """Its name; a figure of a step is behind the step's, with a `/` between."""
    origin: str
    """`measured`, `predicted`, `counted` (instructions of an emulator) or `computed`."""
    value: float
    unit: str
    better: str
    """The better of two: `lower` or `higher`."""
    error_percent: float | None = None


@dataclass(frozen=True)
class Record:
    """The result of an operation, with all that it depends on: the file of `--record`."""

    format: str
    version: int
    command: str
    conditions: Mapping[str, str]
    """What must agree for figures to be comparable: versions, hashes, board, clock, ..."""
    figures: tuple[Figure, ...]
    result: Mapping[str, Any]
    """All that the command says with `--json`."""
    _json: str = field(default="", repr=False, compare=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Record:
        """Reads the file of a record.

        Raises `MissingFileError` if there is none, `RecordFileError` if it is no record.
        """
        return cls._of(_tadpool.read_record(path))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record of this JSON; raises `RecordFileError` if it is none."""
        _tadpool.check_record(text)
        return cls._of(text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the record to a file, in place of an older one only once it is whole."""
        _tadpool.write_record(self._json, path)

    def to_json(self) -> str:
        """The content of its file."""
        return self._json

    def __getitem__(self, name: str) -> Figure:
        """The figure of a name."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)

    def __str__(self) -> str:
        return _tadpool.check_record(self._json)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    @classmethod
    def _of(cls, text: str) -> Record:
        made: Record = build(cls, json.loads(text))
        object.__setattr__(made, "_json", text)
        return made


@dataclass(frozen=True)
class FigureDifference:
    """A figure of two records."""

    name: str
    origin: str
    unit: str
    before: float | None
    after: float | None
    percent: float | None
    """How much more it is; None of what was zero."""
    tolerance_percent: float
    verdict: str
    """`same`, `within`, `better`, `worse`, `gone`, `new` or `incomparable`."""


@dataclass(frozen=True)
class Comparison(_Report):
    """The differences between two records; true if none is a regression."""

    before: str
    after: str
    regressions: int
    """Figures that are worse than allowed, gone, or not comparable."""
    conditions: tuple[Mapping[str, str | None], ...]
    """Conditions that differ."""
    differences: tuple[FigureDifference, ...]

    def __bool__(self) -> bool:
        return self.regressions == 0


def compare(
    before: Record | str | os.PathLike[str],
    after: Record | str | os.PathLike[str],
    *,
    tolerance: float = 1.0,
    tolerances: Mapping[str, float] | None = None,
) -> Comparison:
    """Compares two records, or files of records, figure by figure; as `tadpool compare`.

    `tolerance` is the percentage by which a figure may become worse, `tolerances` has others for
    figures with a word in their names; of several that fit the last one counts.

    Raises `ValueError` if a tolerance is not from 0 to 1000, `RecordFileError` or
    `MissingFileError` if a file is no record.
    """
    named = dict(tolerances or {})
    for percent in (tolerance, *named.values()):
        if not 0 <= percent <= 1000:
            raise ValueError(f"a tolerance is from 0 to 1000 percent, not {percent}")
    by_name = [(name, float(percent)) for name, percent in named.items()]
    one, other = _named(before, "before"), _named(after, "after")
    text, shown = _tadpool.compare_records(one, other, float(tolerance), by_name)
    return report(Comparison, text, text=shown)


def _named(record: Record | str | os.PathLike[str], name: str) -> tuple[str, str]:
    if isinstance(record, Record):
        return name, record.to_json()
    return os.fspath(record), Record.load(record).to_json()
