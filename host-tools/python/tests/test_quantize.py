"""Calibration images in every form, choices, warnings, and work that is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tadpool as tp
from conftest import Files, pixels


def test_forms_of_images_give_the_same_integers(files: Files) -> None:
    model = tp.load(files.folder)
    images = files.calibration
    paths = sorted((files.folder / "calibration").iterdir())
    wide = np.repeat(images, 2, axis=0)
    expected = model.quantize().predict(images)
    forms: list[Any] = [
        files.folder / "calibration",
        images,
        wide[::2],
        list(images),
        (image for image in images),
        np.asfortranarray(images),
        paths,
        [str(path) for path in paths[:30]] + list(images[30:]),
    ]
    for form in forms:
        assert (model.quantize(form).predict(images) == expected).all()


def test_what_is_no_image(model: tp.Model) -> None:
    images = pixels(4)
    for wrong, error, text in [
        (images.astype(np.float32) / 255, TypeError, "raw pixels from 0 to 255 as uint8"),
        (np.full((2, 24, 20, 3), np.nan), TypeError, "type float64"),
        (images.astype(np.int64), TypeError, "calibration have the type int64, not uint8"),
        (images.astype(object), TypeError, "type object"),
        (np.moveaxis(images, -1, -3), ValueError, r"numpy.moveaxis\(images, -3, -1\)"),
        (images[0], ValueError, r"the shape \(24, 20, 3\), the network takes \(images, 24"),
        (images[..., 0], ValueError, "the network takes"),
        (images[:, :9], ValueError, "the network takes"),
        (np.uint8(3), ValueError, "the network takes"),
        ([images[0], images[0, 0]], ValueError, r"calibration\[1\] have the shape \(20, 3\)"),
        ([images[0], "none.png"], tp.ImageError, "none.png"),
        (images[:0], tp.ImageError, "calibration has no images"),
        ([], tp.ImageError, "calibration has no images"),
        (images.tobytes(), TypeError, "whose shape is not known"),
        (7, TypeError, "not int"),
        ("nowhere", tp.ImageError, "nowhere"),
    ]:
        with pytest.raises(error, match=text):
            model.quantize(wrong, progress=False)


def test_labels_are_checked(model: tp.Model, files: Files) -> None:
    images = pixels(4)
    for labels, error, text in [
        ([0, 1], ValueError, "calibration are 4 images"),
        ([0, 1, 2, 9], ValueError, "from 0 to 4"),
        ([0, 1, 2, -1], ValueError, "from 0 to 4"),
        (["ant"] * 4, TypeError, "numbers of classes"),
        ([0.0] * 4, TypeError, "numbers of classes"),
    ]:
        with pytest.raises(error, match=text):
            model.quantize(images, labels=labels)
    with pytest.raises(TypeError, match="given by its folders"):
        model.quantize(files.folder / "evaluation", labels=[0] * 20)


def test_choices(model: tp.Model) -> None:
    images = pixels(60)
    narrow = _narrow(model, images)
    assert narrow.arena_bytes > 0
    for choice, value, text in [
        ("weights", "int2", "weights: `int2` is none of `int8` `int4-mlp` `int4`"),
        ("stream", "int4", "stream: `int4` is none of"),
        ("ranges", "percentile:3", "ranges: "),
        ("feed", "column", "feed: `column` is none of"),
    ]:
        with pytest.raises(ValueError, match=text):
            model.quantize(images, **{choice: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tile_tokens is from 1 to 64, not 0"):
        model.quantize(images, tile_tokens=0)
    with pytest.raises(ValueError, match="pins"):
        model.quantize(images, pins={"stage1": "int3"})
    with pytest.raises(tp.QuantizationError, match="there are: "):
        model.quantize(images, pins={"nothing": "int8"})
    with pytest.raises(TypeError, match="weights is a str, not int"):
        model.quantize(images, weights=8)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="equalisation is a bool, not str"):
        model.quantize(images, equalisation="on")  # type: ignore[arg-type]


def _narrow(model: tp.Model, images: Any) -> tp.Quantized:
    with pytest.warns(tp.TadpoolWarning):
        return model.quantize(
            images,
            weights="int4",
            stream="int8",
            ranges="percentile:99.9",
            rounding="nearest",
            bias_correction=False,
            equalisation=True,
            pins={"stage1": "int8"},
            feed="rows",
            tile_tokens=1,
        )


def test_odd_images_are_warnings(model: tp.Model) -> None:
    with pytest.warns(tp.TadpoolWarning, match="only 4 calibration images") as caught:
        quant = model.quantize(pixels(4))
    assert caught[0].filename == __file__
    assert any("only 4 calibration images" in note for note in quant.notes)


def test_nothing_to_calibrate_with(model: tp.Model) -> None:
    with pytest.raises(tp.ImageError, match="pass `calibration`"):
        model.quantize()


def test_a_generator_that_raises(model: tp.Model) -> None:
    def images() -> Iterator[Any]:
        yield pixels(1)[0]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        model.quantize(images())


def test_progress_is_told(model: tp.Model) -> None:
    told: list[tuple[str, int, int]] = []
    model.quantize(pixels(600), progress=lambda *now: told.append(now))
    assert told
    assert all(what and 0 <= done <= total for what, done, total in told)


def test_progress_that_raises_stops_the_work(model: tp.Model) -> None:
    def listen(what: str, done: int, total: int) -> None:
        raise RuntimeError(what)

    with pytest.raises(RuntimeError, match="calibrating"):
        model.quantize(pixels(3000), progress=listen)
    with pytest.raises(TypeError, match="progress is a bool, None or a function, not str"):
        model.quantize(pixels(60), progress="yes")  # type: ignore[arg-type]


def test_interrupts(model: tp.Model) -> None:
    heard: list[int] = []

    def listen(what: str, done: int, total: int) -> None:
        heard.append(done)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        model.quantize(pixels(3000), progress=listen)
    assert heard[-1] < 3000
    # What was stopped is in nobody's way.
    assert model.quantize(pixels(60)).arena_bytes > 0
