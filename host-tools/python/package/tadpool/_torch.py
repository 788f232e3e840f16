"""Torch's modules as ONNX files."""

from __future__ import annotations

import io
import warnings
from typing import Any


def export(module: Any, example: Any) -> bytes:
    """The ONNX file of a `torch.nn.Module` in evaluation mode, for inputs as `example`.

    Raises `TypeError` without an example, `ImportError` without what the export needs.
    """
    if example is None:
        raise TypeError(
            "a torch module needs an example input: tadpool.load(module, torch.zeros(1, 3, 32, 32))"
        )
    try:
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise ImportError(
            f'a torch module is exported by {error.name}: pip install "tadpool[torch]"'
        ) from error
    was_training = module.training
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Of the exporter, about itself.
            warnings.simplefilter("ignore")
            inputs = example if isinstance(example, tuple) else (example,)
            program = torch.onnx.export(
                module, inputs, dynamo=True, external_data=False, verbose=False
            )
    finally:
        module.train(was_training)
    target = io.BytesIO()
    program.save(target)
    return target.getvalue()
