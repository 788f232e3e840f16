"""Reports: fields, text, page, record."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import pytest

import tadpool as tp
from conftest import Files


@pytest.fixture(scope="module")
def report(files: Files) -> tp.CheckReport:
    return tp.load(files.folder).quantize().check(hybrid_images=4)


def test_fields(report: tp.CheckReport, files: Files) -> None:
    assert report.model == "small"
    assert report.images == 20
    assert report.accuracy is not None
    assert report.accuracy.float.whole == 20
    assert report.agreement is not None
    assert 0 <= report.agreement.low <= float(report.agreement) <= report.agreement.high <= 1
    assert len(report.steps) > 3
    assert report.hybrid_images == 4
    assert report.provenance["images"] == str(files.folder / "evaluation")


def test_it_is_the_json_of_the_command(report: tp.CheckReport) -> None:
    value = report.to_dict()
    assert value == json.loads(report.to_json())
    assert value["logit_error"] == report.logit_error
    names = {field.name.rstrip("_") for field in dataclasses.fields(report)}
    assert names == set(value)
    assert {field.name for field in dataclasses.fields(report.steps[0])} == set(value["steps"][0])


def test_arrays_give_the_same_figures(report: tp.CheckReport, files: Files) -> None:
    quant = tp.load(files.folder).quantize()
    order = sorted(range(20), key=lambda number: (files.classes[number], number))
    images, labels = files.evaluation[order], files.classes[order]
    other = quant.check(images, labels=labels, hybrid_images=4)
    assert (other.steps, other.accuracy) == (report.steps, report.accuracy)
    assert other.provenance["images"] == "images in memory"
    assert quant.check(images, hybrid_images=4).accuracy is None


def test_it_does_not_change(report: tp.CheckReport) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.images = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        report.provenance["images"] = ""  # type: ignore[index]
    report.to_dict()["images"] = 3
    assert report.images == 20
    assert copy.copy(report) is report
    assert copy.deepcopy(report) is report


def test_it_is_pickled(report: tp.CheckReport) -> None:
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert hash(again) == hash(report)
    assert str(again) == str(report)
    assert again._repr_html_() == report._repr_html_()
    assert pickle.loads(pickle.dumps(report.quality)) == report.quality


def test_text_and_page(report: tp.CheckReport, tmp_path: Path) -> None:
    assert "small: float against integers" in str(report)
    assert report._repr_html_().startswith('<iframe srcdoc="&lt;!')
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(FileNotFoundError):
        report.to_html(tmp_path / "none" / "page.html")


def test_nothing_to_evaluate(quant: tp.Quantized) -> None:
    with pytest.raises(tp.ImageError, match="pass `evaluation`"):
        quant.check()
