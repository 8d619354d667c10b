"""From a question to a file: traced once for any number of pictures, written as ONNX or pt2."""
from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from retouch.export.questions import Question
from retouch.version import __version__

OPSET = 20


def trace(question: Question, half: bool) -> torch.export.ExportedProgram:
    """The graph of a question for any number of pictures."""
    n = torch.export.Dim('n', min=1)
    shapes = tuple({0: n} if x.ndim else None for x in question.inputs.values())
    with torch.no_grad(), _quiet():
        program = torch.export.export(question.graph.eval(), (*question.inputs.values(),), dynamic_shapes={'inputs': shapes}, strict=False)
    return halved(program) if half else program


def halved(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same with weights of two dimensions and more stored as float16, each brought to float32 where it is used."""
    graph = program.graph
    names = program.graph_signature.inputs_to_parameters
    first = next(node for node in graph.nodes if node.op != 'placeholder')
    for node in [n for n in graph.nodes if n.name in names]:
        weight = program.state_dict[names[node.name]]
        if weight.ndim < 2:
            continue
        program.state_dict[names[node.name]] = nn.Parameter(weight.detach().half(), requires_grad=False)
        with graph.inserting_before(first):
            full = graph.call_function(torch.ops.aten._to_copy.default, (node,), {'dtype': torch.float32})
        full.meta = dict(node.meta)
        node.replace_all_uses_with(full, delete_user_cb=lambda user, full=full: user is not full)
        node.meta['val'] = node.meta['val'].half()
    program.graph_module.recompile()
    return program


def to_pt2(question: Question, half: bool) -> bytes:
    """What `torch.export.load` reads."""
    buffer = io.BytesIO()
    torch.export.save(trace(question, half), buffer)
    return buffer.getvalue()


def to_onnx(question: Question, half: bool) -> bytes:
    """An ONNX model whose every batch is `n`."""
    from onnxscript import opset20 as op

    def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True) -> Any:
        """Centred before it is normalised: onnxruntime's own mean of a map is a plain float32 sum, 30 times as far off as torch's."""
        grouped = op.Reshape(x, op.Constant(value_ints=[0, groups, -1]))                                  # [N,G,C/G h w]
        centred = op.Sub(grouped, op.ReduceMean(grouped, op.Constant(value_ints=[2]), keepdims=1))
        one, zero = (op.Constant(value_floats=[value] * groups) for value in (1.0, 0.0))
        out = op.Reshape(op.InstanceNormalization(centred, one, zero, epsilon=eps), op.Shape(x))
        for combine, values in ((op.Mul, weight), (op.Add, bias)):
            if values is not None:
                out = combine(out, op.Unsqueeze(values, op.Constant(value_ints=[1, 2])))
        return out

    with _quiet():
        program = torch.onnx.export(trace(question, half), dynamo=True, verbose=False, external_data=False, opset_version=OPSET,
                                    input_names=list(question.inputs), output_names=list(question.outputs),
                                    custom_translation_table={torch.ops.aten.group_norm.default: group_norm})
    assert program is not None
    model = program.model_proto
    model.producer_name, model.producer_version = 'retouch', __version__
    return model.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter reports and warns of its own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
