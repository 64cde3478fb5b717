"""A graph under construction: all named by their place, so that equal input gives equal bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from millrace_conversion.errors import ConversionError
from millrace_conversion.runtime import load

GRAPH_NAME = 'model'
PRODUCER = 'millrace'
# From this opset on the reductions take their axes as an input, and LayerNormalization exists from 17 on.
OPSET_AXES_AS_INPUT = 18
OPSET_LAYER_NORMALIZATION = 17
# Name of a batch of any size in the shapes of inputs and outputs.
BATCH_DIMENSION = 'batch'


class Emitter:
    """Collects nodes in the order of evaluation. A value is called `<place>/<operator>`."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._names: set[str] = set()

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Adds an initialiser, C order; `invalid_architecture` when the name is taken."""
        self._claim(name)
        self._constants[name] = load('onnx.numpy_helper').from_array(np.array(values, order='C'), name)
        return name

    def shared(self, name: str, values: NDArray[Any]) -> str:
        """A constant that several nodes read: added at its first use."""
        return name if name in self._constants else self.constant(name, values)

    def node(self, operator: str, inputs: list[str], place: str, suffix: str = '', **attributes: Any) -> str:
        """Adds a node of one output and returns its value's name."""
        return self.nodes(operator, inputs, place, [suffix], **attributes)[0]

    def nodes(
        self, operator: str, inputs: list[str], place: str, suffixes: list[str], **attributes: Any
    ) -> list[str]:
        """Adds a node with one output for each suffix and returns their names."""
        outputs = [f'{place}/{operator}{suffix}' for suffix in suffixes]
        for name in outputs:
            self._claim(name)
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def reduce(self, operator: str, value: str, axis: int, place: str, *, keep: bool) -> str:
        """ReduceMean, ReduceMax, … over one axis, as this opset spells it."""
        if self.opset < OPSET_AXES_AS_INPUT:
            return self.node(operator, [value], place, axes=[axis], keepdims=int(keep))
        axes = self.shared(f'axes/{axis}', np.array([axis], np.int64))
        return self.node(operator, [value, axes], place, keepdims=int(keep))

    def model(
        self,
        given: tuple[str, list[int | str]],
        made: tuple[str, list[int | str]],
        value: str,
        metadata: dict[str, str],
    ) -> ModelProto:
        """The model whose input is `given` and whose output, the value `value`, is called as in `made`."""
        (input_name, input_shape), (output_name, output_shape) = given, made
        for name in (input_name, output_name):
            self._claim(name)
        for node in self._nodes:
            node.output[:] = [output_name if name == value else name for name in node.output]
        graph = helper.make_graph(
            self._nodes,
            GRAPH_NAME,
            [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, input_shape)],
            [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, output_shape)],
            list(self._constants.values()),
        )
        imports = [helper.make_opsetid('', self.opset)]
        model = helper.make_model(
            graph,
            opset_imports=imports,
            ir_version=helper.find_min_ir_version_for(imports, True),
            producer_name=PRODUCER,
        )
        helper.set_model_props(model, dict(sorted(metadata.items())))
        return model

    def _claim(self, name: str) -> None:
        if name in self._names:
            raise ConversionError(
                'invalid_architecture', f'Two values of the graph would be called {name!r}; rename one.'
            )
        self._names.add(name)
