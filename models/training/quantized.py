"""A MetaFormer that computes as tadpool's integer kernels do, for training.

Everything the kernels fold is folded here too, so that what is rounded while
training is what is rounded on the device:

    the norm's weight and bias   into fc1 and the head
    the layer scale of an MLP    into fc2
    the deviation of the pixels  into the first patch embedding

Weights are symmetric, with one step a row: 8 bits (steps -127 to 127) in the first
and the last layer, `bits` elsewhere (-7 to 7 for 4). Narrow steps are learned. Maps
have 256 steps over a range that calibration fixes: the residual stream after every
layer, and the values before and after the activation of an MLP. Norms, the token
mixers and the sums are not rounded: the kernels keep them exact.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, gelu, group_norm, linear

import fast
from data import STD

GELU_FLOOR = -4.0  # below, GELU is flat


class Matrix(nn.Module):
    """Weights [outputs, ...] rounded to steps of one size a row, and a bias."""

    def __init__(self, weight, bias, bits):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())
        self.limit = 2 ** (bits - 1) - 1
        if bits < 8:
            sizes = smallest_error(self.weight.detach().flatten(1), self.limit)
            self.log_size = nn.Parameter(sizes.log())

    def sizes(self, unit=None):
        """Step of every row [outputs, 1]; with `unit`, a whole number of them is that.

        The residual stream enters the sums of fc2 exactly only if one of its steps
        is a whole number of steps of the products. Weights of four bits are
        multiplied as bytes whose low four bits are zero, so there a sixteenth
        counts.
        """
        if self.limit < 127:
            sizes = self.log_size.exp()
        else:
            sizes = self.weight.detach().flatten(1).abs().amax(1, keepdim=True)
            sizes = sizes.clamp(min=1e-9) / self.limit
        if unit is not None:
            unit *= 16 if self.limit < 8 else 1
            whole = (unit / sizes).detach()
            whole = (whole.round() if self.limit < 127 else whole.floor()).clamp(min=1)
            sizes = sizes + (unit / whole - sizes).detach()
        return sizes

    def rounded(self, unit=None):
        rows = self.weight.flatten(1)
        return Rounded.apply(rows, self.sizes(unit), self.limit).view_as(self.weight)


class Rounded(torch.autograd.Function):
    """Rounding to the nearest step, with a gradient for the steps' size.

    Esser et al., "Learned Step Size Quantization", 2020.
    """

    @staticmethod
    def forward(ctx, weight, size, limit):
        steps = weight / size
        nearest = steps.round().clamp(-limit, limit)
        inside = steps.abs() <= limit
        ctx.save_for_backward(inside, torch.where(inside, nearest - steps, nearest))
        return nearest * size

    @staticmethod
    def backward(ctx, gradient):
        inside, slope = ctx.saved_tensors
        return gradient * inside, (gradient * slope).sum(1, keepdim=True), None


def smallest_error(rows, limit):
    """The step of every row with the smallest sum of squared rounding errors."""
    largest = rows.abs().amax(1, keepdim=True).clamp(min=1e-9) / limit
    best, sizes = torch.full_like(largest, torch.inf), largest.clone()
    for share in torch.linspace(0.4, 1.0, 61):
        size = largest * share
        error = (rows / size).round().clamp(-limit, limit) * size - rows
        error = error.square().sum(1, keepdim=True)
        sizes = torch.where(error < best, size, sizes)
        best = torch.minimum(error, best)
    return sizes


class Map(nn.Module):
    """A feature map rounded to 256 steps over the range that calibration fixed."""

    def __init__(self):
        super().__init__()
        self.register_buffer("range", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.observing = False

    def observe(self, x):
        """Take the mean of the extremes of batches, which few outliers move."""
        low, high = torch.aminmax(x.detach())
        extremes = torch.stack([low, high]).double()
        self.seen += 1
        self.range += (extremes - self.range) / self.seen

    def grid(self):
        """Scale, and the integer that stands for zero, of -128 to 127."""
        low, high = min(float(self.range[0]), 0.0), max(float(self.range[1]), 0.0)
        scale = float(np.float32(max((high - low) / 255, 1e-9)))
        return scale, min(max(round(-low / scale), 0), 255) - 128

    def steps(self):
        """Size, lowest and highest step counted from zero."""
        scale, zero_point = self.grid()
        return scale, float(-128 - zero_point), float(127 - zero_point)

    def forward(self, x):
        if self.observing:
            self.observe(x)
            return x
        return torch.fake_quantize_per_tensor_affine(x, *self.grid(), -128, 127)


class Block(nn.Module):
    def __init__(self, block, bits):
        super().__init__()
        norm, mlp, scale = block.norm2, block.mlp, block.layer_scale_2
        self.pooling = not isinstance(block.token_mixer, nn.Identity)
        self.epsilon = block.norm1.eps
        self.gamma = nn.Parameter(block.norm1.weight * block.layer_scale_1)
        self.beta = nn.Parameter(block.norm1.bias * block.layer_scale_1)
        fc1, fc2 = mlp.fc1.weight.flatten(1), mlp.fc2.weight.flatten(1)
        self.fc1 = Matrix(fc1 * norm.weight, mlp.fc1.bias + fc1 @ norm.bias, bits)
        self.fc2 = Matrix(fc2 * scale[:, None], mlp.fc2.bias * scale, bits)
        self.mixed, self.before, self.after, self.output = Map(), Map(), Map(), Map()

    def mix(self, x):
        """The stream after the token mixer.

        The mean over neighbours less the token does not change with beta.
        """
        n = group_norm(x, 1, self.gamma, self.beta, self.epsilon)
        if self.pooling:
            n = avg_pool2d(n, 3, 1, 1, count_include_pad=False) - n
        return self.mixed(x + n)

    def unit(self):
        """Size of a step of the stream over that of a step of the hidden layer."""
        if self.mixed.observing:
            return None
        return self.mixed.grid()[0] / self.after.grid()[0]

    def fix_hidden(self):
        """Derive the range after the activation from the one before it."""
        self.before.range[0].clamp_(min=GELU_FLOOR)
        scale, zero_point = self.before.grid()
        inputs = scale * (torch.arange(-128, 128, dtype=torch.float64) - zero_point)
        self.after.range.copy_(torch.stack(torch.aminmax(gelu(inputs))))

    def forward(self, x):
        x = self.mix(x)
        n = group_norm(x, 1, eps=self.epsilon).permute(0, 2, 3, 1)
        rows = n.reshape(-1, n.shape[3])
        w1, w2 = self.fc1.rounded(), self.fc2.rounded(self.unit())
        b1, b2 = self.fc1.bias, self.fc2.bias
        if self.mixed.observing or fast.library() is None or n.shape[3] % 16:
            y = self.after(gelu(self.before(linear(rows, w1, b1))))
            y = linear(y, w2, b2)
        else:
            grids = *self.before.steps(), *self.after.steps()
            y = fast.FastMlp.apply(rows, w1, b1, w2, b2, grids)
        return self.output(x + y.view(n.shape).permute(0, 3, 1, 2))


class Quantized(nn.Module):
    """A float network from `metaformer.py`, folded and rounded.

    It takes pixels in units of 0 to 1 less their mean, not divided by a deviation.
    """

    def __init__(self, model, bits):
        super().__init__()
        self.strides = [
            {"stride": e.stride, "padding": e.padding} for e in model.embeddings
        ]
        self.embeddings, self.maps = nn.ModuleList(), nn.ModuleList()
        with torch.no_grad():
            for index, embedding in enumerate(model.embeddings):
                weight = embedding.weight
                if index == 0:
                    weight = weight / torch.tensor(STD).view(1, 3, 1, 1)
                width = bits if index else 8
                self.embeddings.append(Matrix(weight, embedding.bias, width))
                self.maps.append(Map())
            self.stages = nn.ModuleList(
                nn.ModuleList(Block(block, bits) for block in stage)
                for stage in model.stages
            )
            head, norm = model.head, model.norm
            weight, bias = head.weight * norm.weight, head.bias
            self.head = Matrix(weight, bias + head.weight @ norm.bias, 8)
        self.epsilon = norm.eps

    def forward(self, x):
        parts = zip(self.embeddings, self.strides, self.maps, self.stages)
        for embedding, strides, rounding, stage in parts:
            x = rounding(conv2d(x, embedding.rounded(), embedding.bias, **strides))
            for block in stage:
                x = block(x)
        mean = group_norm(x, 1, eps=self.epsilon).mean((2, 3))
        return linear(mean, self.head.rounded(), self.head.bias)

    @torch.no_grad()
    def calibrate(self, batches):
        """Fix all ranges; weights are rounded meanwhile, maps are not."""
        maps = [module for module in self.modules() if isinstance(module, Map)]
        for module in maps:
            module.observing = True
        for images in batches:
            self(images)
        for module in maps:
            module.observing = False
        for stage in self.stages:
            for block in stage:
                block.fix_hidden()


class Exportable(nn.Module):
    """The same network in operators that the exporter writes as QDQ pairs."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        # Computed here, so that the exporter sees stored values; as parameters,
        # since it would round constants itself.
        self.constants = {}
        self.values = nn.ParameterList()
        blocks = [block for stage in model.stages for block in stage]
        units = [(block.fc2, block.unit()) for block in blocks]
        units += [(block.fc1, None) for block in blocks]
        units += [(matrix, None) for matrix in [*model.embeddings, model.head]]
        with torch.no_grad():
            for matrix, unit in units:
                sizes = matrix.sizes(unit).flatten().clone()
                values = nn.Parameter(matrix.rounded(unit), requires_grad=False)
                self.values.append(values)
                self.constants[matrix] = values, sizes

    def weight(self, matrix):
        values, sizes = self.constants[matrix]
        zeros = torch.zeros(len(sizes), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            values, sizes, zeros, 0, -128, 127
        )

    def block(self, block, x):
        x = block.mix(x)
        w1 = self.weight(block.fc1)[:, :, None, None]
        w2 = self.weight(block.fc2)[:, :, None, None]
        n = group_norm(x, 1, eps=block.epsilon)
        y = block.after(gelu(block.before(conv2d(n, w1, block.fc1.bias))))
        return block.output(x + conv2d(y, w2, block.fc2.bias))

    def forward(self, x):
        model = self.model
        parts = zip(model.embeddings, model.strides, model.maps, model.stages)
        for embedding, strides, rounding, stage in parts:
            weight = self.weight(embedding)
            x = rounding(conv2d(x, weight, embedding.bias, **strides))
            for block in stage:
                x = self.block(block, x)
        mean = group_norm(x, 1, eps=model.epsilon).mean((2, 3))
        return linear(mean, self.weight(model.head), model.head.bias)


def load_onnx(path, model):
    """Give `model` the weights of a file that `export.py` wrote.

    The exporter renames what it multiplies with or adds, so such parameters are
    found by the node that uses them.
    """
    graph = onnx.load(str(path)).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    used = {node.name: [n for n in node.input if n in tensors] for node in graph.node}
    state = {}
    for name, parameter in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        parts = module.split(".") if module else []
        if parts[:1] == ["stages"]:
            parts[:3] = [f"stages.{parts[1]}", ".".join(parts[:3])]
        node = "/" + "/".join(parts)
        if kind.startswith("layer_scale"):
            source = used[f"{node}/Mul" + ("_1" if kind.endswith("2") else "")][0]
        elif parts[-1].startswith("norm"):
            source = used[f"{node}/{'Mul' if kind == 'weight' else 'Add'}"][0]
        else:
            source = name
        values = torch.from_numpy(tensors[source].copy())
        state[name] = values.reshape(parameter.shape)
    model.load_state_dict(state)
    return model


def store_integers(path):
    """Replace weights that are rounded when the file is read by the integers."""
    model = onnx.load(str(path))
    graph = model.graph
    tensors = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensors[node.output[0]] = tensor
    for node in [n for n in graph.node if n.op_type == "QuantizeLinear"]:
        if node.input[0] not in tensors:
            continue
        weight, scale, zero = (numpy_helper.to_array(tensors[n]) for n in node.input)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if scale.ndim:
            shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        steps = np.rint(weight / scale) + zero
        integers = steps.clip(-128, 127).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(integers, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(Path(path)))
