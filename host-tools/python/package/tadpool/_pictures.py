"""Pictures in every form that people have them in, as the extension takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tadpool import _tadpool
from tadpool._errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Images: TypeAlias = "str | os.PathLike[str] | ArrayLike | Iterable[Any]"
"""A folder of images, in class folders if they have classes; uint8 pixels in an array of shape
(images, height, width, channels); or an iterable of files and of uint8 arrays of shape (height,
width, channels). Of a network of one channel the last axis may be left out. Channels are red,
green, blue, whatever order the network takes them in."""

Picture: TypeAlias = "tuple[str, bytes | None, int | None]"
Shape: TypeAlias = tuple[int, int, int]


def collect(
    images: Images, what: str, shape: Shape, labels: Sequence[str], classes: Any = None
) -> list[Picture]:
    """The pictures for the extension; `what` names them in errors, `classes` are their labels."""
    if isinstance(images, (str, os.PathLike)):
        if classes is not None:
            raise TypeError(f"the labels of {what} are given by its folders")
        found = _tadpool.list_pictures(images, list(labels))
        return [(path, None, label) for path, label in found]
    pictures = list(_pictures(images, what, shape))
    if not pictures:
        raise ImageError(f"{what} has no images")
    if classes is None:
        return pictures
    numbers = _classes(classes, len(pictures), what, labels)
    return [(name, pixels, number) for (name, pixels, _), number in zip(pictures, numbers)]


def batch(images: Any, shape: Shape) -> tuple[bytes, int, bool]:
    """The pixels of an array of images, their number, and whether it was a single one."""
    import numpy as np

    pixels = _array(images, "images")
    single = _of_one(shape)
    if pixels.shape in single:
        return np.ascontiguousarray(pixels).tobytes(), 1, True
    if pixels.ndim > 0 and pixels.shape[1:] in single:
        return np.ascontiguousarray(pixels).tobytes(), len(pixels), False
    raise ValueError(_wrong_shape("images", pixels.shape, shape))


def _pictures(images: Any, what: str, shape: Shape) -> Iterable[Picture]:
    import numpy as np

    if isinstance(images, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} are bytes, whose shape is not known: pass a uint8 array")
    # Arrays of all libraries, but no list, which may be of anything.
    if hasattr(images, "__array__") or hasattr(images, "__array_interface__"):
        pixels = _array(images, what)
        if pixels.ndim == 0 or pixels.shape[1:] not in _of_one(shape):
            raise ValueError(_wrong_shape(what, pixels.shape, shape))
        for index, image in enumerate(pixels):
            yield f"{what}[{index}]", np.ascontiguousarray(image).tobytes(), None
        return
    try:
        iterator = iter(images)
    except TypeError:
        kind = type(images).__name__
        raise TypeError(
            f"{what} are a folder, a uint8 array, or an iterable of files and arrays, not {kind}"
        ) from None
    for index, image in enumerate(iterator):
        if isinstance(image, (str, os.PathLike)):
            yield os.fspath(image), None, None
            continue
        name = f"{what}[{index}]"
        pixels = _array(image, name)
        if pixels.shape not in _of_one(shape):
            raise ValueError(_wrong_shape(name, pixels.shape, shape, single=True))
        yield name, np.ascontiguousarray(pixels).tobytes(), None


def _array(images: Any, what: str) -> NDArray[np.uint8]:
    import numpy as np

    array = np.asarray(images)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        raise TypeError(
            f"{what} have the type {array.dtype}: pass raw pixels from 0 to 255 as uint8; the "
            "normalisation is part of the network"
        )
    raise TypeError(f"{what} have the type {array.dtype}, not uint8")


def _of_one(shape: Shape) -> tuple[tuple[int, ...], ...]:
    """Shapes that an array of one image may have."""
    return (shape, shape[:2]) if shape[2] == 1 else (shape,)


def _wrong_shape(what: str, found: tuple[int, ...], shape: Shape, *, single: bool = False) -> str:
    sizes = ", ".join(map(str, shape))
    expected = f"({sizes})" if single else f"(images, {sizes})"
    height, width, channels = shape
    planes = (channels, height, width)
    text = f"{what} have the shape {found}, the network takes {expected}"
    if found[-3:] == planes and planes != shape:
        text += "; move the channels to the end: numpy.moveaxis(images, -3, -1)"
    return text


def _classes(classes: Any, count: int, what: str, labels: Sequence[str]) -> list[int]:
    import numpy as np

    numbers = np.asarray(classes)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"labels have the type {numbers.dtype}, not integers: numbers of classes")
    if numbers.shape != (count,):
        raise ValueError(f"labels have the shape {numbers.shape}, {what} are {count} images")
    most = len(labels)
    if numbers.size and not (0 <= int(numbers.min()) and int(numbers.max()) < most):
        raise ValueError(f"labels are from 0 to {most - 1}")
    return [int(number) for number in numbers]
