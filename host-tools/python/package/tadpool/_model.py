"""Models: networks as their files say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from tadpool import _pictures, _tadpool
from tadpool._errors import ImageError, TadpoolError, warn
from tadpool._frozen import Unchanging
from tadpool._pictures import Images
from tadpool._progress import Progress, listener
from tadpool._quantized import Quantized, Recipe

_CHANNELS = {"gray": 1, "rgba": 4}
"""Channels of the orders that have not three."""


class Model(Unchanging):
    """A network that was imported, and how its images and classes are read.

    Made by `load`. Does not change; pickles with its files.
    """

    __slots__ = ("_inner",)

    def __init__(self, inner: _tadpool.Model) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """Name of the generated crate."""
        return self._inner.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores; empty without a classifier."""
        return tuple(self._inner.labels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self._inner.input_shape

    @property
    def channels(self) -> str:
        """Order in which the network takes a pixel's channels: rgb, bgr, gray or rgba.

        Images are always given with red first."""
        return self._inner.input[0]

    @property
    def mean(self) -> tuple[float, ...]:
        """What is taken from pixels from 0 to 1, one a channel."""
        return tuple(self._inner.input[1])

    @property
    def std(self) -> tuple[float, ...]:
        """What they are divided by then."""
        return tuple(self._inner.input[2])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an inference."""
        return self._inner.macs

    @property
    def notes(self) -> tuple[str, ...]:
        """What the import left out or moved, a sentence each."""
        return tuple(self._inner.notes)

    def quantize(
        self,
        calibration: Images | None = None,
        *,
        ranges: str | None = None,
        rounding: str | None = None,
        bias_correction: bool | None = None,
        equalisation: bool | None = None,
        weights: str | None = None,
        stream: str | None = None,
        pins: Mapping[str, str] | None = None,
        feed: str | None = None,
        tile_tokens: int = 4,
        tolerance: float = 1e-3,
        labels: Any = None,
        progress: Progress = None,
    ) -> Quantized:
        """Quantizes the network by what it computes of images; its integers are the firmware's.

        `calibration`: about 200 training images, those of the model description if not given; a
        folder, a uint8 array of shape (images, height, width, channels), or an iterable of files
        and of uint8 arrays of shape (height, width, channels).
        `labels`: numbers of the images' classes, by which odd images are found out.

        What is not given is as the description says:
        `ranges`: `mse`, `kl`, `min-max` or `percentile:P`;
        `rounding`: `output` (for the least error of the layer's output) or `nearest`;
        `bias_correction`, `equalisation`: whether;
        `weights`: `int8`, `int4-mlp` or `int4`;
        `stream`: `auto`, `int8` or `int16`, bits of the residual stream;
        `pins`: bits of single layers or stages, `{"stage1": "int16"}`;
        `feed`: `image` or `rows`, how the firmware takes an image;
        `tile_tokens`: 1 to 64 tokens that a matrix product takes at a time;
        `tolerance`: largest difference between a score of the import and tract's, times the
        image's largest score if that is above one.

        The same images give the same integers, whatever the number of threads. Warns
        (`TadpoolWarning`) of images and choices that cost accuracy.

        Raises `TypeError` or `ValueError` for images or choices that are none, `ImageError` for
        files, `QuantizationError` if the network has no integer form, `KeyboardInterrupt` at
        Ctrl-C.
        """
        if not 1 <= tile_tokens <= 64:
            raise ValueError(f"tile_tokens is from 1 to 64, not {tile_tokens}")
        given = {
            "ranges": ranges,
            "rounding": rounding,
            "bias_correction": _switch("bias_correction", bias_correction),
            "equalisation": _switch("equalisation", equalisation),
            "weights": weights,
            "stream": stream,
            "feed": feed,
        }
        choices = [(name, _text(name, value)) for name, value in given.items() if value is not None]
        images = calibration if calibration is not None else self._inner.calibration
        if images is None:
            raise ImageError(
                "the model names no calibration images: pass `calibration`, about 200 training "
                "images, or set `data.calibration` in the model description"
            )
        pictures = _pictures.collect(images, "calibration", self.input_shape, self.labels, labels)
        recipe = Recipe(
            choices=choices,
            pins=[(name, _text("pins", bits)) for name, bits in (pins or {}).items()],
            tile_tokens=tile_tokens,
            tolerance=tolerance,
        )
        with listener(progress) as heard:
            inner = recipe.follow(self._inner, pictures, heard)
        warn(inner.notes, 2)
        return Quantized(inner, self, recipe)

    def __repr__(self) -> str:
        height, width, channels = self.input_shape
        return f"<tadpool.Model {self.name}: {height}x{width}x{channels}, {self.macs} MACs>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_files, self._inner.files()


def load(
    source: Any,
    example: Any = None,
    *,
    name: str | None = None,
    size: tuple[int, int] | None = None,
    channels: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    board: str | None = None,
) -> Model:
    """Imports a network, and confirms that it is a MetaFormer that can be compiled.

    `source`: a model description (`model.toml`) or the folder of one; an ONNX file, its bytes or
    an `onnx.ModelProto`; or a `torch.nn.Module` with an `example` input of shape (1, channels,
    height, width), which is exported (`pip install "tadpool[torch]"`).

    Of a network without a description:
    `name`: lower case letters, digits, `-` and `_`;
    `size`: height and width, if the file leaves them open;
    `channels`: the order that the network was trained with: `rgb`, `bgr`, `gray` or `rgba`;
    `mean`, `std`: its normalisation, one value a channel for pixels from 0 to 1;
    `labels`: names of the classes, in the order of the scores;
    `board`: where to compile for, if nothing else is said.

    Raises `MissingFileError`, `UnsupportedModelError` (with every reason at once) or another
    `ModelError`; `TypeError` for what is none of these sources.
    """
    described = {
        "name": name,
        "size": size,
        "channels": channels,
        "mean": mean,
        "std": std,
        "labels": labels,
        "board": board,
    }
    described = {field: value for field, value in described.items() if value is not None}
    path, onnx = _onnx(source, example)
    if onnx is None:
        inner = _tadpool.Model.read(path)
        _, description, _ = inner.files()
        if described and description is not None:
            fields = ", ".join(described)
            raise TypeError(f"{path} describes its network itself; set {fields} there")
        if not described:
            return Model(inner)
        path, _, onnx = inner.files()
    elif not described:
        return Model(_tadpool.Model.of_files(path, None, onnx))
    return Model(_tadpool.Model.of_files(path, _description(path, onnx, described), onnx))


def _onnx(source: Any, example: Any) -> tuple[str, bytes | None]:
    """A file, or a name and the bytes of an ONNX file."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), None
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "model.onnx", bytes(source)
    if hasattr(source, "SerializeToString"):
        return "model.onnx", bytes(source.SerializeToString())
    if hasattr(source, "state_dict") and callable(source):
        from tadpool._torch import export

        return f"{type(source).__name__.lower()}.onnx", export(source, example)
    kind = type(source).__name__
    raise TypeError(
        f"a model is a path, the bytes of an ONNX file, an onnx.ModelProto or a torch module, not {kind}"
    )


def _description(path: str, onnx: bytes, described: Mapping[str, Any]) -> str:
    """The text of a model description with these fields."""
    if "size" in described and "channels" in described and "name" in described:
        shape = (*described["size"], _CHANNELS.get(described["channels"], 3))
        found = {}
    else:
        bare = _bare(path, onnx, described.get("size"))
        shape = bare.input_shape
        found = {"name": bare.name, "channels": bare.input[0]}
    lines = _lines(path, shape, {**found, **described})
    if "labels" in described:
        labels = described["labels"]
        if isinstance(labels, str):
            raise TypeError("labels is a list of names, not one str")
        lines += ["[data]", f"labels = [{', '.join(_toml(label) for label in labels)}]"]
    return "\n".join(lines) + "\n"


def _bare(path: str, onnx: bytes, size: tuple[int, int] | None) -> _tadpool.Model:
    """The network without a description, of which only `size` may be open."""
    if size is None:
        return _tadpool.Model.of_files(path, None, onnx)
    problem: TadpoolError | None = None
    for order, count in (("rgb", 3), ("gray", 1), ("rgba", 4)):
        lines = _lines(path, (*size, count), {"name": "model", "channels": order})
        try:
            return _tadpool.Model.of_files(path, "\n".join(lines), onnx)
        except TadpoolError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _lines(path: str, shape: tuple[int, int, int], fields: Mapping[str, Any]) -> list[str]:
    """The lines of a description up to its input; the normalisation does nothing if none is
    given."""
    height, width, count = shape
    lines = [
        f"name = {_toml(fields['name'])}",
        f"onnx = {_toml(PurePath(path).name)}",
    ]
    if "board" in fields:
        lines.append(f"board = {_toml(fields['board'])}")
    return lines + [
        "[input]",
        f"height = {int(height)}",
        f"width = {int(width)}",
        f"channels = {_toml(fields['channels'])}",
        f"mean = {_floats('mean', fields.get('mean', [0.0] * count))}",
        f"std = {_floats('std', fields.get('std', [1.0] * count))}",
    ]


def _toml(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no str")
    # JSON's strings are TOML's, but for this character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _floats(field: str, values: Any) -> str:
    try:
        return "[" + ", ".join(repr(float(value)) for value in values) + "]"
    except (TypeError, ValueError):
        raise TypeError(f"{field} is a list of numbers, one a channel") from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    return value


def _switch(name: str, value: bool | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, bool):
        raise TypeError(f"{name} is a bool, not {type(value).__name__}")
    return "on" if value else "off"


def _of_files(path: str, description: str | None, onnx: bytes) -> Model:
    return Model(_tadpool.Model.of_files(path, description, onnx))
