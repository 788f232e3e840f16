"""Optional: a faster way to compute the blocks, with the MLPs in mlp.cpp.

Without a C++ compiler PyTorch's own layers are used; the results are the same
up to rounding.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import group_norm

from metaformer import Block

SOURCE = Path(__file__).with_name("mlp.cpp")
_library = None


def library():
    """The compiled mlp.cpp, or None without a compiler."""
    global _library
    if _library is None:
        compiler = os.environ.get("CXX") or shutil.which("g++")
        if compiler is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mlp.so"
            options = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]
            shared = ["-shared", "-fPIC", "-o", str(path), str(SOURCE)]
            subprocess.run([compiler, *options, *shared], check=True)
            _library = ctypes.CDLL(str(path))
    return _library


def address(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


class FastMlp(torch.autograd.Function):
    """The MLP on rows [N, width], with the weights of two 1x1 convolutions.

    `grids`, if given, are size, lowest and highest step of the integer grid before
    the activation, and the same after it: six floats.
    """

    @staticmethod
    def forward(ctx, x, w1, b1, w2, b2, grids=None):
        x, w1, w2 = x.contiguous(), w1.contiguous(), w2.contiguous()
        ctx.save_for_backward(x, w1, b1, w2)
        ctx.grids = None if grids is None else (ctypes.c_float * 6)(*grids)
        y = torch.empty_like(x)
        sizes = torch.get_num_threads(), ctypes.c_int64(x.shape[0]), *w1.shape[::-1]
        tensors = map(address, (x, w1, b1, w2, b2))
        library().mlp_forward(*sizes, *tensors, ctx.grids, address(y))
        return y

    @staticmethod
    def backward(ctx, gy):
        x, w1, b1, w2 = ctx.saved_tensors
        gy = gy.contiguous()
        gx, gw1, gb1, gw2 = map(torch.empty_like, (x, w1, b1, w2))
        sizes = torch.get_num_threads(), ctypes.c_int64(x.shape[0]), *w1.shape[::-1]
        inputs = map(address, (x, w1, b1, w2))
        gradients = map(address, (gy, gx, gw1, gb1, gw2))
        library().mlp_backward(*sizes, *inputs, ctx.grids, *gradients)
        return gx, gw1, gb1, gw2, gy.sum(0), None


def forward(block, x):
    """The forward pass of a block, with the layer scales moved into the weights."""
    norm, scale = block.norm1, block.layer_scale_1
    if isinstance(norm, nn.GroupNorm):
        x = x + block.token_mixer(
            group_norm(x, 1, norm.weight * scale, norm.bias * scale, norm.eps)
        )
    else:
        x = x + scale[:, None, None] * block.token_mixer(norm(x))
    mlp, scale = block.mlp, block.layer_scale_2
    rows = block.norm2(x).permute(0, 2, 3, 1)
    y = FastMlp.apply(
        rows.reshape(-1, rows.shape[3]),
        mlp.fc1.weight.flatten(1),
        mlp.fc1.bias,
        mlp.fc2.weight.flatten(1) * scale[:, None],
        mlp.fc2.bias * scale,
    )
    return x + y.view(rows.shape).permute(0, 3, 1, 2)


def install(model):
    """Let the blocks of the model use mlp.cpp where their widths allow it."""
    if library() is None:
        return
    for module in model.modules():
        if isinstance(module, Block) and module.layer_scale_1.numel() % 16 == 0:
            module.forward = forward.__get__(module)
