"""Scores: bit for bit those of the command, in every form of array and thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tadpool as tp
from conftest import Files, pixels


def test_scores_are_those_of_the_command(files: Files) -> None:
    quant = tp.load(files.folder).quantize()
    paths = sorted((files.folder / "evaluation").glob("*/*.ppm"))
    command = ["-m", "tadpool._command", "--json", "simulate", str(files.folder)]
    printed = subprocess.check_output([sys.executable, *command, *map(str, paths)])
    logits = [image["logits"] for image in json.loads(printed)["images"]]
    images = [np.frombuffer(path.read_bytes()[-1440:], np.uint8) for path in paths]
    scores = quant.predict(np.stack(images).reshape(-1, 24, 20, 3))
    assert scores.dtype == np.float64
    assert scores.tolist() == logits


def test_forms_of_arrays(quant: tp.Quantized) -> None:
    images = pixels(7)
    expected = quant.predict(images)
    assert expected.shape == (7, 5)
    assert expected.flags.writeable
    views: list[Any] = [
        np.asfortranarray(images),
        np.repeat(images, 2, axis=0)[::2],
        images[::-1][::-1],
        np.moveaxis(np.ascontiguousarray(np.moveaxis(images, -1, 1)), 1, -1),
        list(images),
    ]
    for view in views:
        assert (quant.predict(view) == expected).all()
    assert (quant.predict(images[3]) == expected[3]).all()
    assert quant.predict(images[3]).shape == (5,)
    read_only = images.copy()
    read_only.flags.writeable = False
    assert (quant.predict(read_only) == expected).all()
    assert quant.predict(images[:0]).shape == (0, 5)


def test_what_is_no_batch(quant: tp.Quantized) -> None:
    images = pixels(2)
    others: list[Any] = [images / 255, images.astype(np.int8), images > 3, ["a"], None]
    for other in others:
        with pytest.raises(TypeError):
            quant.predict(other)
    for wrong in (images[:, :, :, :2], images[None], images[..., None], np.uint8(1)):
        with pytest.raises(ValueError, match="the network takes"):
            quant.predict(wrong)


def test_one_channel() -> None:
    from conftest import ROOT

    model = tp.load(ROOT / "tests/fixtures/onnx/identity_script13_gray.onnx")
    height, width, channels = model.input_shape
    assert channels == 1
    images = pixels(60, shape=(height, width))
    quant = model.quantize(images)
    assert (quant.predict(images) == quant.predict(images[..., None])).all()
    assert quant.predict(images[0]).ndim == 1


def test_threads_at_once(quant: tp.Quantized) -> None:
    batches = [pixels(40, seed=seed) for seed in range(8)]
    expected = [quant.predict(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            found = list(threads.map(quant.predict, batches))
            assert all((one == other).all() for one, other in zip(found, expected, strict=True))


def test_other_threads_run_meanwhile(quant: tp.Quantized) -> None:
    batch = np.repeat(pixels(100), 100, axis=0)
    ticks: list[float] = []
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.perf_counter()
    quant.predict(batch)
    end = time.perf_counter()
    done.set()
    thread.join()
    during = [tick for tick in ticks if start <= tick <= end]
    assert len(during) > 5, f"{len(during)} ticks in {end - start:.3f} s"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
def test_a_forked_process_predicts_too(quant: tp.Quantized) -> None:
    images = pixels(3)
    expected = quant.predict(images)
    with warnings.catch_warnings():
        # Of forks beside threads, which is what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(not (quant.predict(images) == expected).all())
        finally:
            os._exit(status)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the forked process hangs")
