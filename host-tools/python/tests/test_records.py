"""Records and their comparison."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

import tadpool as tp
from conftest import pixels


@pytest.fixture(scope="module")
def record(quant: tp.Quantized) -> tp.Record:
    return quant.check(pixels(10), hybrid_images=1).record()


def test_files(record: tp.Record, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record.save(path)
    again = tp.Record.load(path)
    assert again == record
    assert again.to_json() == record.to_json()
    assert pickle.loads(pickle.dumps(record)) == record
    assert "error of the logits" in str(record)
    with pytest.raises(tp.RecordFileError):
        record.save(tmp_path / "none" / "record.json")


def test_figures(record: tp.Record) -> None:
    figure = record["error of the logits"]
    assert (figure.unit, figure.better, figure.origin) == ("logit", "lower", "computed")
    with pytest.raises(KeyError):
        record["none"]
    assert record.result["images"] == 10


def test_comparison(record: tp.Record, tmp_path: Path) -> None:
    value = json.loads(record.to_json())
    value["figures"][0]["value"] *= 1.5
    value["conditions"]["tool"] = "another"
    worse = tp.Record.from_json(json.dumps(value))
    comparison = tp.compare(record, worse)
    assert not comparison
    assert comparison.regressions == 1
    assert comparison.differences[0].verdict == "worse"
    assert comparison.conditions[0]["name"] == "tool"
    assert "worse" in str(comparison)
    assert tp.compare(record, worse, tolerance=60)
    assert tp.compare(record, worse, tolerances={"logits": 60.0})
    record.save(tmp_path / "before.json")
    other = tp.compare(tmp_path / "before.json", worse)
    assert other.differences == comparison.differences
    assert other.before == str(tmp_path / "before.json")


def test_what_is_no_record(record: tp.Record, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for text in ("", "{", "[]", "{}", record.to_json().replace("tadpool-record", "other")):
        path.write_text(text)
        with pytest.raises(tp.RecordFileError, match="is no record"):
            tp.Record.load(path)
        with pytest.raises(tp.RecordFileError):
            tp.Record.from_json(text)
    with pytest.raises(tp.MissingFileError):
        tp.Record.load(tmp_path / "none.json")
    for percent in (-1, 1001, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1000"):
            tp.compare(record, record, tolerance=percent)
