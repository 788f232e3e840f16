"""A small PoolFormer, quantized on random images, and the same as files."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tadpool as tp

ROOT = Path(__file__).resolve().parents[3]
ONNX = ROOT / "tests/fixtures/family/poolformer_papers_dynamo20_tanh.onnx"
CIFAR = ROOT / "models/poolformer-cifar10"
LABELS = ["ant", "bee", "cat", "dog", "eel"]
# Torch is large: what needs it runs when it is asked for, and fails where it is not installed.
NEED_TORCH = {"test_torch.py", "test_notebook_cells.py"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torch", action="store_true", help="also run what needs torch")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out what needs torch, unless it is asked for."""
    left_out = collection_path.name in NEED_TORCH and not config.getoption("--torch")
    return True if left_out else None


def pixels(count: int, seed: int = 0, shape: tuple[int, ...] = (24, 20, 3)) -> NDArray[np.uint8]:
    """Random images."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), dtype=np.uint8)


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """A picture's file, without loss."""
    height, width, _ = image.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + image.tobytes())


@pytest.fixture(autouse=True)
def interrupts() -> None:
    """Python takes no SIGINT where what started it ignores them, as shells do in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Files:
    """A model description with its images."""

    folder: Path
    calibration: NDArray[np.uint8]
    evaluation: NDArray[np.uint8]
    classes: NDArray[np.int64]


@pytest.fixture(scope="session")
def model() -> tp.Model:
    return tp.load(ONNX, labels=LABELS)


@pytest.fixture(scope="session")
def quant(model: tp.Model) -> tp.Quantized:
    return model.quantize(pixels(60))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(ONNX, folder / "small.onnx")
    (folder / "model.toml").write_text(
        f"""name = "small"
onnx = "small.onnx"
[input]
height = 24
width = 20
channels = "rgb"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
[data]
labels = {LABELS}
calibration = "calibration"
evaluation = "evaluation"
""".replace("'", '"')
    )
    made = Files(folder, pixels(60), pixels(20, seed=1), np.arange(20) % 5)
    for number, image in enumerate(made.calibration):
        write_picture(folder / "calibration" / f"{number:03}.ppm", image)
    for number, (image, label) in enumerate(zip(made.evaluation, made.classes, strict=True)):
        write_picture(folder / "evaluation" / LABELS[label] / f"{number:03}.ppm", image)
    return made
