"""Quantized models: integers that are the firmware's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tadpool import _pictures, _tadpool
from tadpool._errors import ImageError, QuantizationError, warn
from tadpool._frozen import Unchanging
from tadpool._image import Budget, Image, Plan
from tadpool._pictures import Images, Picture
from tadpool._progress import Listener, Progress, listener
from tadpool._reports import CheckReport, report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tadpool._model import Model


@dataclass(frozen=True)
class Recipe:
    """How a model is quantized: enough to do it again, with the same integers."""

    choices: list[tuple[str, str]]
    pins: list[tuple[str, str]]
    tile_tokens: int
    tolerance: float

    def follow(
        self, model: _tadpool.Model, pictures: list[Picture], heard: Listener
    ) -> _tadpool.Quantized:
        """Quantizes `model` by `pictures`."""
        return model.quantize(
            pictures, self.choices, self.pins, self.tile_tokens, self.tolerance, heard
        )


class Quantized(Unchanging):
    """A model in integers, which computes on this computer what the firmware does, bit for bit.

    Made by `Model.quantize`. Does not change; methods may be called by several threads at once.
    A pickle has the model's files and the calibration images, and quantizes again when it is
    loaded, to the same integers or not at all.
    """

    __slots__ = ("_inner", "_model", "_recipe")

    def __init__(self, inner: _tadpool.Quantized, model: Model, recipe: Recipe) -> None:
        self._inner = inner
        self._model = model
        self._recipe = recipe

    @property
    def model(self) -> Model:
        """The model that was quantized."""
        return self._model

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return self._model.labels

    @property
    def arena_bytes(self) -> int:
        """Bytes of RAM that feature maps take on a microcontroller."""
        return self._inner.arena_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of it: warnings of `Model.quantize`, a sentence each."""
        return tuple(self._inner.notes)

    def predict(self, images: ArrayLike, *, progress: Progress = False) -> NDArray[np.float64]:
        """The scores of images, by the firmware's kernels on all cores of this computer.

        `images`: a uint8 array of shape (images, height, width, channels), red first; or of one
        image without the first axis. Any strides; an empty batch has no scores.

        Returns scores of shape (images, classes), or (classes,) of a single image; of a network
        without a classifier the values of its last map. The GIL is free meanwhile.

        Raises `TypeError` unless the type is uint8, `ValueError` for another shape.
        """
        import numpy as np

        pixels, count, is_single = _pictures.batch(images, self._model.input_shape)
        with listener(progress) as heard:
            scores = np.frombuffer(self._inner.predict(pixels, heard), dtype=np.float64)
        if is_single:
            return scores
        return scores.reshape(count, -1) if count else np.empty((0, self._inner.scores))

    def check(
        self,
        evaluation: Images | None = None,
        *,
        labels: Any = None,
        hybrid_images: int = 64,
        shown: int = 24,
        progress: Progress = None,
    ) -> CheckReport:
        """What quantization does to each step and to the predictions; as `tadpool check`.

        `evaluation`: images as for `Model.quantize`; those of the model description if not given.
        `labels`: numbers of their classes, unless folders say them.
        `hybrid_images`: on so many each step is tried alone in integers.
        `shown`: most images to keep on which float and integers disagree.

        Raises as `Model.quantize` does.
        """
        model = self._model
        images = evaluation if evaluation is not None else model._inner.evaluation
        if images is None:
            raise ImageError(
                "the model names no evaluation images: pass `evaluation`, or set "
                "`data.evaluation` in the model description"
            )
        pictures = _pictures.collect(images, "evaluation", model.input_shape, model.labels, labels)
        is_path = isinstance(images, (str, os.PathLike))
        origin = os.fspath(images) if is_path else "images in memory"  # type: ignore[arg-type]
        with listener(progress) as heard:
            json, text, page, record = self._inner.check(
                pictures, origin, hybrid_images, shown, heard
            )
        return report(CheckReport, json, text=text, page=page, record_json=record)

    def compile(
        self,
        board: str | os.PathLike[str] | None = None,
        *,
        budget: Budget | None = None,
        progress: Progress = None,
    ) -> Image:
        """Builds the firmware's image for a board, and audits its machine code; as
        `tadpool compile`. Needs a Rust toolchain (`tadpool doctor` looks for it).

        `board`: a name of `tadpool.boards()` or a board file; the model's board, or else an
        emulated one, if not given.
        `budget`: what the image may take. Speed and precision are given up for flash and RAM, by
        what that costs; `Image.report.traded` says what. Too slow is a `BudgetError`.

        Raises `BoardError` if there is no such board, `BuildError` if the image cannot be built or
        does not fit, `BudgetError` if the budget cannot be kept.
        """
        plan = Plan(
            board=None if board is None else os.fspath(board),
            budget=Budget() if budget is None else budget,
        )
        with listener(progress) as heard:
            inner = plan.follow(self._inner, heard)
        known = set(self._inner.notes)
        warn([note for note in inner.warnings if note not in known], 2)
        return Image(inner, self, plan)

    def __repr__(self) -> str:
        return f"<tadpool.Quantized {self._model.name}: {self.arena_bytes} bytes of arena>"

    def __reduce__(self) -> tuple[Any, ...]:
        pictures = self._inner.calibration()
        return _again, (self._model, self._recipe, pictures, self._inner.hash())


def _again(model: Model, recipe: Recipe, pictures: list[Picture], expected: int) -> Quantized:
    """A quantized model that was pickled."""
    inner = recipe.follow(model._inner, pictures, None)
    found = inner.hash()
    if found != expected:
        raise QuantizationError(
            f"this version of tadpool makes other integers ({found:08x}) than that which the "
            f"pickle is of ({expected:08x}): quantize the model again"
        )
    return Quantized(inner, model, recipe)
