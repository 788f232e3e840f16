"""Images for boards, and an emulated board that runs one."""

from __future__ import annotations

import copy
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest

import tadpool as tp
from conftest import pixels

BOARD = "qemu-mps2-an386"
# The network has a mixer that no core has a loop of its own for.
pytestmark = pytest.mark.filterwarnings("ignore:.*is slow:tadpool.TadpoolWarning")


@pytest.fixture(scope="module")
def image(quant: tp.Quantized) -> tp.Image:
    with pytest.warns(tp.TadpoolWarning, match="`stage1.block0.mixer` is slow") as caught:
        image = quant.compile(BOARD)
    assert caught[0].filename == __file__
    return image


def test_report(image: tp.Image) -> None:
    memory = image.report.budget
    assert image.board == image.report.board == BOARD
    assert 0 < memory.arena_bytes < memory.ram.used_bytes <= memory.ram.available_bytes
    assert memory.weights_bytes < memory.flash.used_bytes <= memory.flash.available_bytes
    assert image.report.comparison["images"] == 60
    assert Path(image.path).read_bytes()[:4] == b"\x7fELF"
    assert f"for {BOARD}" in str(image.report)
    assert "<pre>" in image._repr_html_()


def test_the_board_says_what_is_predicted(image: tp.Image, quant: tp.Quantized) -> None:
    pictures = pixels(3, seed=5)
    record = image.run(pictures)
    assert record.command == "run"
    logits = np.array([picture["logits"] for picture in record.result["images"]])
    assert (logits == quant.predict(pictures)).all()
    assert record["image 1/instructions"].origin == "counted"
    assert record.conditions["board"] == BOARD
    assert tp.compare(record, image.run(pictures)).regressions == 0


def test_budgets(quant: tp.Quantized, image: tp.Image) -> None:
    used = image.report.budget.ram.used_bytes
    kept = quant.compile(BOARD, budget=tp.Budget(ram=used, flash="4M"))
    assert kept.report.budget.ram.used_bytes <= used
    with pytest.raises(tp.BudgetError, match="more than the budget of 1024"):
        quant.compile(BOARD, budget=tp.Budget(ram="1K"))


def test_a_budget_of_time(quant: tp.Quantized) -> None:
    kept = quant.compile("nucleo-l4r5zi", budget=tp.Budget(ms=1000))
    assert kept.report.prediction is not None
    assert 0 < kept.report.prediction["ms"] < 1000
    with pytest.raises(tp.BudgetError, match="predicted to take"):
        quant.compile("nucleo-l4r5zi", budget=tp.Budget(ms=0.001))
    with pytest.raises(tp.BudgetError, match="has no clock"):
        quant.compile(BOARD, budget=tp.Budget(ms=1000))


def test_what_is_no_budget() -> None:
    for wrong in ({"ram": "32 KB"}, {"ram": 0}, {"flash": -1}, {"ms": 0}, {"ms": float("nan")}):
        with pytest.raises(ValueError):
            tp.Budget(**wrong)
    with pytest.raises(TypeError):
        tp.Budget(ram=1.5)  # type: ignore[arg-type]


def test_no_such_board(quant: tp.Quantized) -> None:
    with pytest.raises(tp.BoardError, match="nucleo-l4r5zi"):
        quant.compile("nucleo-l4r5z")
    assert BOARD in tp.boards()


def test_too_small_a_board(quant: tp.Quantized, tmp_path: Path) -> None:
    with pytest.raises(tp.BoardError, match="nowhere.toml"):
        quant.compile(tmp_path / "nowhere.toml")


def test_what_is_no_picture(image: tp.Image) -> None:
    with pytest.raises(TypeError, match="pictures have the type float64"):
        image.run(pixels(1) / 255)
    with pytest.raises(tp.ImageError, match="pictures has no images"):
        image.run([])
    with pytest.raises(ValueError, match="timeout"):
        image.run(pixels(1), timeout=0)


def test_interrupts(image: tp.Image) -> None:
    def listen(what: str, done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        image.run(pixels(5000), progress=listen)


def test_copies(image: tp.Image) -> None:
    assert copy.copy(image) is image
    assert copy.deepcopy(image) is image
    again = pickle.loads(pickle.dumps(image))
    assert again.report == image.report
    assert again.path == image.path
