"""Models from every source, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import tadpool as tp
from conftest import LABELS, ONNX, ROOT, Files


class Proto:
    """As an `onnx.ModelProto`."""

    def SerializeToString(self) -> bytes:
        return ONNX.read_bytes()


@pytest.mark.parametrize("source", [ONNX, str(ONNX), ONNX.read_bytes(), Proto()])
def test_sources(source: Any) -> None:
    model = tp.load(source, name="small", labels=LABELS, mean=[0.5] * 3, std=[0.25] * 3)
    assert model.name == "small"
    assert model.labels == tuple(LABELS)
    assert model.input_shape == (24, 20, 3)
    assert (model.channels, model.mean, model.std) == ("rgb", (0.5,) * 3, (0.25,) * 3)
    assert model.macs > 0


def test_description(files: Files) -> None:
    for source in (files.folder, files.folder / "model.toml"):
        assert tp.load(source).name == "small"
    with pytest.raises(TypeError, match="describes its network itself; set mean, labels there"):
        tp.load(files.folder, labels=LABELS, mean=[0.0] * 3)


def test_fields_are_checked() -> None:
    with pytest.raises(tp.ModelError, match=r"`input.mean` holds 127.5, as if pixels went"):
        tp.load(ONNX, mean=[127.5] * 3)
    with pytest.raises(tp.ModelError, match=r"`input.mean` holds NaN"):
        tp.load(ONNX, mean=[float("nan")] * 3)
    with pytest.raises(tp.ModelError, match=r"`input.std` has 1 values for 3 channels"):
        tp.load(ONNX, std=[1.0])
    with pytest.raises(tp.ModelError, match="with 2 names"):
        tp.load(ONNX, labels=["a", "b"])
    with pytest.raises(tp.ModelError, match=r"is `a\\\"b`|is `a"):
        tp.load(ONNX, name='a"b')
    with pytest.raises(TypeError, match="labels is a list of names"):
        tp.load(ONNX, labels="ants")
    with pytest.raises(TypeError, match="mean is a list of numbers"):
        tp.load(ONNX, mean=["red"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="1 is no str"):
        tp.load(ONNX, labels=[1, 2, 3, 4, 5])  # type: ignore[list-item]


def test_open_sizes() -> None:
    # The input's height and width, each a value, become a symbol without a name.
    sizes = bytes.fromhex("0a020818 0a020814")
    data = ONNX.read_bytes()
    assert data.count(sizes) >= 1
    start = data.index(bytes.fromhex("0a020801 0a020803") + sizes) + 8
    data = data[:start] + bytes.fromhex("0a021200 0a021200") + data[start + 8 :]
    with pytest.raises(tp.ModelError, match="input.height"):
        tp.load(data)
    model = tp.load(data, size=(28, 24), labels=LABELS)
    assert (model.input_shape, model.labels) == ((28, 24, 3), tuple(LABELS))
    with pytest.raises(tp.ModelError):
        tp.load(data, size=(0, 24))


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path / "none.toml"):
        with pytest.raises(tp.MissingFileError, match="none") as caught:
            tp.load(path)
        assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(tp.ModelError, match="has no `model.toml`"):
        tp.load(tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    for data in (b"", b"hello", ONNX.read_bytes()[:5000], bytes(1000)):
        path.write_bytes(data)
        for source in (path, data):
            with pytest.raises(tp.ModelError):
                tp.load(source)


def test_refusals_list_every_reason() -> None:
    with pytest.raises(tp.UnsupportedModelError) as caught:
        tp.load(ROOT / "tests/fixtures/onnx/refuse_two_groups.onnx")
    problems = caught.value.problems
    assert len(problems) > 2
    assert problems[0].op == "InstanceNormalization"
    assert problems[0].what == "the norm has 2 groups"
    assert "GroupNorm" in problems[0].remedy
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), problems)


def test_what_is_no_source() -> None:
    for source in (None, 7, [1], object()):
        with pytest.raises(TypeError, match="a model is a path"):
            tp.load(source)
