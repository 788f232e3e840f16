"""Write small instances of the whole MetaFormer family as ONNX files.

Example:
  python family.py --output ../../tests/fixtures/family

Networks come from timm, from Hugging Face Transformers and from the definition
in `papers.py`, all with random parameters, through both exporters of PyTorch and
several operator sets. Files are written as by `fixtures.py`; `manifest.toml` says
for each file where it comes from and which layers it has.
"""

import argparse
import json
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from timm.layers import GroupNorm1
from timm.models import metaformer as timm_metaformer
from torch import nn

import papers
from fixtures import strip

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))

from export import randomise


@dataclass
class Instance:
    """A network in one form."""

    network: str
    source: str  # timm, transformers or papers
    make: callable  # of the image size
    mixers: tuple  # layers that the importer must find, one a stage
    exporter: str = "torchscript"
    opset: int = 17
    size: tuple = (24, 20)
    channels: int = 3
    simplified: bool = False  # by onnxsim
    dynamic: bool = False  # symbolic batch dimension
    half: bool = False  # weights stored in float16
    external: bool = False  # weights in a second file
    embedding_norms: bool = True  # behind the stem and before each downsampling
    note: str = ""
    options: dict = field(default_factory=dict)

    @property
    def name(self):
        exporter = self.exporter.removeprefix("torch")
        parts = [self.network, self.source, f"{exporter}{self.opset}"]
        flags = ["simplified", "dynamic", "half", "external"]
        parts += [flag for flag in flags if getattr(self, flag)]
        return "_".join(parts + ([self.note] if self.note else []))


def from_timm(mixers, norms, **arguments):
    """A network of timm's class, with two stages of one block."""

    def make(size):
        values = {
            "depths": (1, 1),
            "dims": (8, 12),
            "num_classes": 5,
            "token_mixers": mixers,
            "norm_layers": norms,
        }
        return timm_metaformer.MetaFormer(**values | arguments)

    return make


def from_transformers(size):
    """A PoolFormer of Hugging Face Transformers."""
    from transformers import PoolFormerConfig, PoolFormerForImageClassification

    config = PoolFormerConfig(
        depths=[1, 1],
        hidden_sizes=[8, 12],
        patch_sizes=[7, 3],
        strides=[4, 2],
        padding=[2, 1],
        num_encoder_blocks=2,
        mlp_ratio=2.0,
        num_labels=5,
    )

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = PoolFormerForImageClassification(config)

        def forward(self, image):
            return self.model(image).logits

    return Logits()


def from_papers(*mixers, **arguments):
    return lambda size: papers.MetaFormer(size, mixers, **arguments)


class SmallAttention(timm_metaformer.Attention):
    """Heads of size 4."""

    def __init__(self, dim, **arguments):
        super().__init__(dim, head_dim=4, **arguments)


def instances():
    t = timm_metaformer
    layer = t.LayerNorm2dNoBias
    v1 = from_timm(
        t.Pooling,
        GroupNorm1,
        downsample_norm=None,
        mlp_act=nn.GELU,
        mlp_bias=True,
        layer_scale_init_values=1e-5,
        res_scale_init_values=None,
        use_mlp_head=False,
    )
    v2 = from_timm(t.Pooling, t.GroupNorm1NoBias, use_mlp_head=False)
    identity = from_timm(nn.Identity, t.GroupNorm1NoBias, use_mlp_head=False)
    conv = from_timm(t.SepConv, layer)
    attention = from_timm([t.SepConv, SmallAttention], [layer, t.LayerNormNoBias])
    networks = [
        ("poolformer", v1, ("pooling mixer",) * 2),
        ("poolformerv2", v2, ("pooling mixer",) * 2),
        ("identityformer", identity, ("identity mixer",) * 2),
        ("convformer", conv, ("separable convolution",) * 2),
        ("caformer", attention, ("separable convolution", "self-attention")),
    ]
    forms = [
        {},
        {"opset": 13},
        {"exporter": "dynamo", "opset": 18},
        {"exporter": "dynamo", "opset": 21},
        {"simplified": True},
    ]
    for network, make, mixers in networks:
        for form in forms:
            if network == "caformer" and form.get("opset") == 13:
                form = {"opset": 14}  # the first with fused attention
            norms = network != "poolformer"
            yield Instance(network, "timm", make, mixers, embedding_norms=norms, **form)
    for form in forms:
        yield Instance(
            "poolformer",
            "transformers",
            from_transformers,
            ("pooling mixer",) * 2,
            embedding_norms=False,
            **form,
        )
    pool, mixing = "pooling mixer", "random mixing"
    conv, attention = "separable convolution", "self-attention"
    made = from_papers(papers.Identity, papers.RandomMixing)
    for form in forms:
        yield Instance("randformer", "papers", made, ("identity mixer", mixing), **form)
    caformer = (papers.SepConv, papers.Attention)
    yield Instance(
        "caformer",
        "papers",
        from_papers(*caformer, head=papers.MlpHead),
        (conv, attention),
        dynamic=True,
    )
    for opset, exporter in [(14, "torchscript"), (18, "dynamo")]:
        yield Instance(
            "caformer",
            "papers",
            from_papers(papers.SepConv, papers.FusedAttention),
            (conv, attention),
            exporter,
            opset,
            note="fused",
        )
    yield Instance(
        "caformer",
        "papers",
        from_papers(papers.SepConv, papers.Attention),
        (conv, attention),
        "dynamo",
        23,
    )
    for kind, note in [
        (papers.SplitAttention, "split"),
        (papers.SliceAttention, "slice"),
    ]:
        made = from_papers(papers.Pooling, kind)
        for opset, exporter in [(17, "torchscript"), (20, "dynamo")]:
            yield Instance(
                "caformer",
                "papers",
                made,
                (pool, attention),
                exporter,
                opset,
                note=note,
            )
    by_hand = from_papers(
        papers.Pooling,
        papers.SepConv,
        norm=papers.NormByHand,
        embedding_norm=papers.MapNorm,
        activation=papers.TanhGeluByHand,
    )
    for opset, exporter in [(13, "torchscript"), (18, "dynamo")]:
        yield Instance(
            "convformer", "papers", by_hand, (pool, conv), exporter, opset, note="hand"
        )
    tanh = partial(nn.GELU, approximate="tanh")
    for opset, exporter in [(17, "torchscript"), (18, "dynamo"), (20, "dynamo")]:
        yield Instance(
            "poolformer",
            "papers",
            from_papers(papers.Pooling, norm=papers.MapNorm, activation=tanh),
            (pool,),
            exporter,
            opset,
            note="tanh",
        )
    squared = {"activation": papers.SquaredReLU, "embedding_norm": None, "scales": ()}
    yield Instance(
        "poolformer",
        "papers",
        from_papers(papers.Pooling, norm=papers.MapNorm, channels=4, **squared),
        (pool,),
        size=(21, 17),
        channels=4,
        half=True,
        embedding_norms=False,
        note="squared",
    )
    yield Instance(
        "identityformer",
        "papers",
        from_papers(
            papers.Identity,
            papers.Identity,
            norm=papers.MapNorm,
            channels=1,
            classes=1,
            **squared,
        ),
        ("identity mixer",) * 2,
        channels=1,
        external=True,
        embedding_norms=False,
    )
    yield Instance(
        "convformer",
        "papers",
        from_papers(papers.SepConv, papers.SepConv, head=None),
        (conv,) * 2,
        note="features",
    )
    for kind, note in [
        (papers.FusedAttention, "fused"),
        (papers.JoinedAttention, "joined"),
    ]:
        yield Instance(
            "caformer",
            "papers",
            from_papers(papers.Pooling, kind),
            (pool, attention),
            "dynamo",
            23,
            note=note,
        )


def export(instance, model, path):
    shape = (1, instance.channels, *instance.size)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    options = dict(instance.options)
    if instance.exporter == "torchscript":
        if instance.dynamic:
            options["dynamic_axes"] = {"image": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(
            model,
            (torch.zeros(shape),),
            str(path),
            dynamo=False,
            opset_version=instance.opset,
            **names,
            **options,
        )
    else:
        torch.onnx.export(
            model,
            (torch.zeros(shape),),
            str(path),
            dynamo=True,
            opset_version=instance.opset,
            external_data=False,
            verbose=False,
            **names,
            **options,
        )
    proto = onnx.load(str(path))
    if instance.simplified:
        import onnxsim

        proto, _ = onnxsim.simplify(proto)
    strip(proto)
    return proto


def halve(proto):
    """Store every large weight in float16, with a Cast in front of its readers."""
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            casts.append(
                onnx.helper.make_node(
                    "Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT
                )
            )
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def write(instance, seed, folder):
    """Export, check against PyTorch, write; one table of the manifest."""
    torch.manual_seed(seed)
    model = instance.make(instance.size)
    randomise(model, seed)
    model.eval()
    with tempfile.TemporaryDirectory() as temporary:
        proto = export(instance, model, Path(temporary) / "model.onnx")
    if instance.half:
        halve(proto)
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString()
    shape = (1, instance.channels, *instance.size)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = model(image).numpy()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": image.numpy()})
    error = float(np.abs(logits - expected).max())
    if logits.shape != expected.shape or not error < (1e-2 if instance.half else 1e-4):
        raise SystemExit(f"{instance.name}: differs from PyTorch by {error:g}")
    path = folder / f"{instance.name}.onnx"
    if instance.external:
        weights = f"{instance.name}.weights"
        (folder / weights).unlink(missing_ok=True)
        onnx.save(
            proto,
            str(path),
            save_as_external_data=True,
            location=weights,
            size_threshold=64,
        )
    else:
        path.write_bytes(data)
    image.numpy().astype("<f4").tofile(folder / f"{instance.name}.input.f32")
    logits.astype("<f4").tofile(folder / f"{instance.name}.logits.f32")
    print(f"{instance.name}: {len(data)} bytes, difference {error:.1e}", flush=True)
    layers = []
    for stage, mixer in enumerate(instance.mixers):
        embedding = ["patch embedding"]
        if instance.embedding_norms:
            embedding.insert(int(stage == 0), "norm")
        layers += [*embedding, mixer, "channel MLP"]
    if len(expected.shape) == 2:
        layers.append("head")
    values = {
        "file": path.name,
        "network": instance.network,
        "source": instance.source,
        "exporter": instance.exporter,
        "opset": instance.opset,
        "simplified": instance.simplified,
        "input_shape": list(shape),
        "output_shape": list(expected.shape),
        "layers": layers,
        "operators": sorted({node.op_type for node in proto.graph.node}),
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["[[model]]", *lines, ""])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--only", help="write only files whose name holds this")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    tables = ["# Written by models/export/family.py.\n"]
    for seed, instance in enumerate(instances(), start=1):
        if arguments.only is None or arguments.only in instance.name:
            tables.append(write(instance, seed, arguments.output))
    if arguments.only is None:
        (arguments.output / "manifest.toml").write_text("\n".join(tables))


if __name__ == "__main__":
    main()
