"""The notebooks, cell by cell; run with `--torch`."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import tadpool as tp

FOLDER = Path(__file__).parents[1] / "notebooks"


def cells(name: str) -> list[str]:
    notebook = json.loads((FOLDER / name).read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.filterwarnings("default")
def test_poolformer_to_board(tmp_path: Path) -> None:
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join(cells("poolformer-to-board.ipynb")))
    names = runpy.run_path(str(script))
    record = names["record"]
    assert isinstance(record, tp.Record)
    assert names["accuracy"] > 0.9
    logits = np.array([picture["logits"] for picture in record.result["images"]])
    assert (logits == names["scores"][:5]).all()
