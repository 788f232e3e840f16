"""Reports: frozen objects with the fields of the command's `--json`."""

from __future__ import annotations

import builtins
import json
import os
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from tadpool._frozen import Unchanging, frozen

if TYPE_CHECKING:
    from tadpool._records import Record

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """A share of images, with the interval of 95 % confidence by Wilson's score."""

    part: int
    whole: int
    share: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.share


@dataclass(frozen=True)
class Difference:
    """How much more often integers are right than the float network, on the same images."""

    difference: float
    low: float
    high: float
    only_first: int
    """Images that only the float network has right."""
    only_second: int
    """Images that only the integer network has right."""


@dataclass(frozen=True)
class Accuracy:
    """How often predictions are right."""

    float: Share
    integer: Share
    difference: Difference


@dataclass(frozen=True)
class Alone:
    """The logits of the float network with one step in integers."""

    logit_error: float
    """Root mean square of how far the logits move."""
    logit_sqnr_db: float | None
    """Signal to noise of the logits; None if they do not move."""
    changed: int | None
    """Images whose prediction changes; None if the network has no head."""


@dataclass(frozen=True)
class StepCheck:
    """How far what one step writes is from the float network."""

    name: str
    kind: str
    sqnr_db: float | None
    """Signal to noise ratio in decibels; None without noise."""
    largest_error: float
    largest_error_steps: float | None
    clipped: float | None
    """Share of values at the ends of the range."""
    range_used: float | None
    cosine: float
    alone: Alone


@dataclass(frozen=True)
class Disagreement:
    """An image on which the networks disagree; classes by number."""

    image: str
    label: int | None
    float: int
    integer: int
    margin: builtins.float


@dataclass(frozen=True)
class Quality:
    """Signal to noise of the output on calibration images, and what may raise it."""

    images: int
    output_db: float | None
    lowest: Mapping[str, Any] | None
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class _Report(Unchanging):
    """What all reports have."""

    def to_json(self) -> str:
        """The JSON of the command's `--json`."""
        return self._json

    def to_dict(self) -> dict[str, Any]:
        """The same as a new dictionary."""
        value: dict[str, Any] = json.loads(self._json)
        return value

    def __str__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self._text)}</pre>"

    def __reduce__(self) -> tuple[Any, ...]:
        hidden = {name: self.__dict__[name] for name in self._hidden}
        return _again, (type(self), self._json, hidden)

    _hidden: ClassVar[tuple[str, ...]] = ("text",)

    # Not fields: what a report is compared by and shown with are its figures.
    @property
    def _json(self) -> str:
        text: str = self.__dict__["json"]
        return text

    @property
    def _text(self) -> str:
        text: str = self.__dict__["text"]
        return text


@dataclass(frozen=True)
class CheckReport(_Report):
    """What quantization does to a network; `tadpool check`."""

    model: str
    labels: tuple[str, ...]
    steps: tuple[StepCheck, ...]
    """Steps in the order of execution."""
    logits: float
    """Root mean square of the float network's logits."""
    logit_error: float
    """Root mean square of how far the integer network's logits are from them."""
    hybrid_images: int
    """Images on which each step was tried alone in integers."""
    images: int
    agreement: Share | None
    """Images with the same prediction; None if the network has no head."""
    accuracy: Accuracy | None
    """How often predictions are right; None unless every image has a label."""
    disagreements: tuple[Disagreement, ...]
    """Images with another prediction, those first of which the float network was surest."""
    import_: tuple[str, ...]
    """Notes on the import."""
    widened: tuple[Mapping[str, Any], ...]
    """Stages whose stream has sixteen bits because eight were measured to be too few."""
    quality: Quality
    trained: Mapping[str, Any] | None
    """The use made of the file's own scales, if it has any."""
    findings: tuple[Mapping[str, Any], ...]
    """What is odd about the calibration images."""
    provenance: Mapping[str, Any]
    """What the figures depend on."""
    html: str | None

    _hidden: ClassVar[tuple[str, ...]] = ("text", "page", "record_json")

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Writes the page of `tadpool check --html`, which needs no other file."""
        target = Path(path)
        part = target.with_name(target.name + ".tmp")
        part.write_text(self._page, encoding="utf-8")
        part.replace(target)

    def record(self) -> Record:
        """The record of `tadpool check --record`."""
        from tadpool._records import Record

        return Record.from_json(self.__dict__["record_json"])

    def _repr_html_(self) -> str:
        # A frame of its own: the page has styles for all of a document.
        return (
            f'<iframe srcdoc="{escape(self._page)}" sandbox '
            'style="width:100%;height:40em;border:0"></iframe>'
        )

    @property
    def _page(self) -> str:
        page: str = self.__dict__["page"]
        return page


@dataclass(frozen=True)
class StepCost:
    """What a step takes of a board."""

    name: str
    output: str
    """Rows, columns and channels of what it writes."""
    macs: int
    arena_bytes: int
    peak: bool
    """Whether the arena is fullest here."""
    cycles: float | None
    """Predicted cycles, by an execution if there was one."""
    ms: float | None


@dataclass(frozen=True)
class Part:
    """Bytes of one memory."""

    used_bytes: int
    available_bytes: int


@dataclass(frozen=True)
class Memory:
    """What an image takes of its board's memories, in bytes."""

    flash: Part
    weights_bytes: int
    copied_weights_bytes: int
    code_bytes: int
    constants_bytes: int
    ram: Part
    arena_bytes: int
    other_static_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class CompileReport(_Report):
    """What an image takes of its board, and what was given up for that; `tadpool compile`."""

    model: str
    board: str
    kernels: str
    crate_folder: str | None
    comparison: Mapping[str, Any]
    """How far the import is from tract, an independent implementation."""
    steps: tuple[StepCost, ...]
    budget: Memory
    traded: Mapping[str, Any]
    """The precision and speed that were given up for the budget."""
    slow_steps: tuple[Mapping[str, Any], ...]
    import_: tuple[str, ...]
    widened: tuple[Mapping[str, Any], ...]
    quality: Quality
    trained: Mapping[str, Any] | None
    findings: tuple[Mapping[str, Any], ...]
    arena_lower_bound: int
    """Bytes that no plan can do without."""
    arena_is_optimal: bool
    latency: Mapping[str, Any] | None
    """The predicted latency by the shapes of the steps."""
    prediction: Mapping[str, Any] | None = None
    """The same by an execution, if there is a budget of it."""


def report(cls: type[T], json_text: str, **hidden: str) -> T:
    """The object for `json_text`; `hidden` is kept beside its fields."""
    made: T = build(cls, json.loads(json_text))
    made.__dict__.update(hidden, json=json_text)
    return made


def _again(cls: type[T], text: str, hidden: dict[str, str]) -> T:
    """A report that was pickled."""
    return report(cls, text, **hidden)


def build(hint: Any, value: Any) -> Any:
    """`value`, which is of JSON, as an object of the type `hint`, with nothing that changes."""
    if value is None or hint is Any:
        return frozen(value)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(hint)
        names = {field.name.rstrip("_"): field.name for field in fields(hint)}
        given = {names[key]: build(hints[names[key]], it) for key, it in value.items()}
        return hint(**given)
    if get_origin(hint) is tuple:
        return tuple(build(get_args(hint)[0], it) for it in value)
    if get_origin(hint) is types.UnionType:
        (kind,) = (it for it in get_args(hint) if it is not type(None))
        return build(kind, value)
    if hint is float:
        return float(value)
    return frozen(value)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
