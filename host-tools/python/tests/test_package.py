"""The package: its import, its command, its extras."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import tadpool as tp
from tadpool._errors import in_python


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True)


def test_import_is_light() -> None:
    code = "import sys, tadpool; print(sorted({'numpy', 'torch', 'tqdm'} & set(sys.modules)))"
    done = python("-W", "error", "-c", code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_all_is_there() -> None:
    assert sorted(tp.__all__) == tp.__all__
    for name in tp.__all__:
        assert getattr(tp, name).__doc__ or name == "__version__"


def test_command() -> None:
    done = python("-m", "tadpool._command", "--version")
    assert (done.returncode, done.stdout) == (0, f"tadpool {tp.__version__}\n")
    done = python("-m", "tadpool._command", "inspect", "nowhere.onnx")
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot read `nowhere.onnx`")
    done = python("-m", "tadpool._command", "nothing")
    assert done.returncode == 2


def test_options_are_arguments_here() -> None:
    assert in_python("try `--weights int8`") == 'try `weights="int8"`'
    assert in_python("`--tile-tokens 1` saves") == '`tile_tokens="1"` saves'
    assert in_python("`tadpool fit` says") == "`tadpool fit` says"


class Module:
    """As a torch module."""

    training = False

    def state_dict(self) -> dict[str, Any]:
        return {}

    def __call__(self) -> None: ...


def test_torch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="needs an example input"):
        tp.load(Module())
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r'pip install "tadpool\[torch\]"'):
        tp.load(Module(), object())


def test_bars_need_a_package(monkeypatch: pytest.MonkeyPatch, quant: tp.Quantized) -> None:
    from conftest import pixels

    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"tadpool\[progress\]"):
        quant.predict(pixels(1), progress=True)
