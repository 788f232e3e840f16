"""Copies and pickles of models."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import tadpool as tp
from conftest import Files, pixels
from tadpool import _quantized


def test_models(model: tp.Model) -> None:
    assert copy.copy(model) is model
    assert copy.deepcopy([model])[0] is model
    again = pickle.loads(pickle.dumps(model))
    assert (again.name, again.labels, again.mean) == (model.name, model.labels, model.mean)


def test_quantized(quant: tp.Quantized) -> None:
    assert copy.copy(quant) is quant
    assert copy.deepcopy(quant) is quant
    again = pickle.loads(pickle.dumps(quant))
    images = pixels(5, seed=9)
    assert (again.predict(images) == quant.predict(images)).all()
    assert again.notes == quant.notes


def test_a_pickle_needs_no_files(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    (folder.parent).mkdir(exist_ok=True)
    import shutil

    shutil.copytree(files.folder, folder)
    quant = tp.load(folder).quantize(weights="int4-mlp")
    pickled = pickle.dumps(quant)
    shutil.rmtree(folder)
    again = pickle.loads(pickled)
    assert (again.predict(files.evaluation) == quant.predict(files.evaluation)).all()


def test_other_integers_are_refused(quant: tp.Quantized) -> None:
    _, (model, recipe, pictures, expected) = quant.__reduce__()
    with pytest.raises(tp.QuantizationError, match="quantize the model again"):
        _quantized._again(model, recipe, pictures, expected ^ 1)
