"""The notebooks as files."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "notebooks"


def test_notebooks_have_no_output() -> None:
    for path in FOLDER.glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), path
