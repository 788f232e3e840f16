"""Images: firmware with a model, for a board."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tadpool import _pictures, _tadpool
from tadpool._frozen import Unchanging
from tadpool._pictures import Images
from tadpool._progress import Listener, Progress, listener
from tadpool._records import Record
from tadpool._reports import CompileReport, report

if TYPE_CHECKING:
    from tadpool._quantized import Quantized

_MOST_MS = 3_600_000


@dataclass(frozen=True)
class Budget:
    """What an image may take of its board; None is all that there is.

    Raises `TypeError` or `ValueError` for what is no limit.
    """

    flash: int | str | None = None
    """Bytes of flash: `393216` or `"384K"` (K and M are 1024 and 1048576 bytes)."""
    ram: int | str | None = None
    """Bytes of RAM."""
    ms: float | None = None
    """Milliseconds of an inference, which is executed in the emulator to predict them."""

    def __post_init__(self) -> None:
        _bytes("flash", self.flash)
        _bytes("ram", self.ram)
        if self.ms is not None and not 0 < self.ms <= _MOST_MS:
            raise ValueError(f"ms is above 0 and up to {_MOST_MS}, not {self.ms}")


@dataclass(frozen=True)
class Plan:
    """How an image is built: enough to do it again."""

    board: str | None
    budget: Budget

    def follow(self, quantized: _tadpool.Quantized, heard: Listener) -> _tadpool.Image:
        """Builds the image of `quantized`."""
        budget = self.budget
        us = None if budget.ms is None else max(1, round(budget.ms * 1000))
        flash, ram = _bytes("flash", budget.flash), _bytes("ram", budget.ram)
        return quantized.compile(self.board, flash, ram, us, heard)


class Image(Unchanging):
    """The firmware's image of a model for a board.

    Made by `Quantized.compile`. Does not change; a pickle builds it again when it is loaded.
    """

    __slots__ = ("_inner", "_plan", "_quantized", "report")

    report: CompileReport
    """What it takes of its board, and what was given up for that."""

    def __init__(self, inner: _tadpool.Image, quantized: Quantized, plan: Plan) -> None:
        self._inner = inner
        self._quantized = quantized
        self._plan = plan
        self.report = report(CompileReport, inner.json, text=inner.text)

    @property
    def board(self) -> str:
        """Name of the board."""
        return self._inner.board

    @property
    def path(self) -> str:
        """The ELF file, in the folder that images are kept in (`TADPOOL_CACHE`)."""
        return os.fspath(self._inner.path)

    def run(
        self,
        pictures: Images,
        *,
        probe: str | None = None,
        timeout: float = 120.0,
        progress: Progress = None,
    ) -> Record:
        """Has the board classify pictures, and compares what every step writes with this computer.

        Emulated boards run in QEMU; others are flashed through a debug probe first.

        `pictures`: images as for `Model.quantize`.
        `probe`: `VENDOR:PRODUCT[:SERIAL]`, if several debug probes are connected.
        `timeout`: longest time for one answer, in seconds.

        Returns the record of `tadpool run`, whose `result["images"]` has a label, logits and a
        cost for each picture.

        Raises `BoardError` if the board is not reached, does not answer, or computes something
        else; `TypeError`, `ValueError` or `ImageError` for pictures.
        """
        if not 0 < timeout <= 86_400:
            raise ValueError(f"timeout is above 0 and up to 86400 seconds, not {timeout}")
        model = self._quantized.model
        found = _pictures.collect(pictures, "pictures", model.input_shape, model.labels)
        with listener(progress) as heard:
            json, _ = self._inner.run(found, probe, float(timeout), heard)
        return Record.from_json(json)

    def __repr__(self) -> str:
        memory = self.report.budget
        return (
            f"<tadpool.Image {self.report.model} on {self.board}: "
            f"{memory.flash.used_bytes} bytes of flash, {memory.ram.used_bytes} of RAM>"
        )

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._quantized, self._plan)


def _again(quantized: Quantized, plan: Plan) -> Image:
    """An image that was pickled."""
    return Image(plan.follow(quantized._inner, None), quantized, plan)


def _bytes(name: str, limit: int | str | None) -> int | None:
    if limit is None:
        return None
    if isinstance(limit, str):
        limit = _tadpool.budget_bytes(limit)
    elif isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"{name} is an int or a str, not {type(limit).__name__}")
    if not 0 < limit < 1 << 40:
        raise ValueError(f"{name} is above 0 and below 2**40 bytes, not {limit}")
    return limit
