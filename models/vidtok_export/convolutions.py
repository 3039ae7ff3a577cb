"""Puts convolutions into the plugin's own operators, with what is added to them.

A pass over a finished graph, as sums and residuals are made in other places than the convolutions, and as it serves
graphs of other tools: `models/convolutions.py` rewrites folders with it.
"""

import heapq
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import NodeProto

from . import operators, sums
from .operators import CONVOLUTIONS, CONVOLUTIONS_OVER_TIME, TAPS, Operator
from .sums import Sum

SUBGRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


@dataclass
class _Replacement:
    """An operator in place of sums, one for each of its outputs."""

    operator: Operator
    sums: list[Sum]
    inputs: list[str]

    def node(self) -> NodeProto:
        outputs = [found.output for found in self.sums]
        return onnx.helper.make_node(self.operator.name, self.inputs, outputs, domain=operators.DOMAIN)


def rewrite_file(path: Path) -> int:
    """Rewrite the graph in a file; returns how many operators it has got. Weights in other files stay there."""
    model = onnx.load(path, load_external_data=False)
    count = rewrite(model)
    if count:
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(partial))  # by its path, as weights may be in other files
        os.replace(partial, path)
    return count


def rewrite(model: onnx.ModelProto) -> int:
    """Rewrite a graph; returns how many operators it has got."""
    graph = model.graph
    if any(attribute.type in SUBGRAPHS for node in graph.node for attribute in node.attribute):
        return 0  # a subgraph may use any value
    taken: set[str] = set()
    replacements = [_in_space(found) for found in sums.find(graph, 3, taken)]
    replacements += _over_time(sums.find(graph, 1, taken))
    _replace(graph, replacements)
    used = {replacement.operator.name: replacement.operator for replacement in replacements}
    present = {function.name for function in model.functions if function.domain == operators.DOMAIN}
    model.functions.extend(ir.to_proto(used[name].function) for name in sorted(used.keys() - present))
    if used and operators.DOMAIN not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(operators.DOMAIN, operators.VERSION))
    return len(replacements)


def _in_space(found: Sum) -> _Replacement:
    operator = CONVOLUTIONS[len(found.taps), found.residual is not None]
    pairs = chain.from_iterable(zip(found.inputs, found.weights, strict=True))
    return _Replacement(operator, [found], [*pairs, found.bias, *([found.residual] if found.residual else [])])


def _over_time(found: Sequence[Sum]) -> list[_Replacement]:
    """Puts sums of consecutive frames of a layer together. The first tap is the oldest frame's."""
    layers: dict[tuple[str, ...], list[Sum]] = {}
    for each in found:
        if len(each.taps) == TAPS:
            layers.setdefault((*each.weights, each.bias, str(each.residual is not None)), []).append(each)
    replacements = []
    for layer in layers.values():
        for run in _runs(layer):
            while counts := [count for count, _ in CONVOLUTIONS_OVER_TIME if count <= len(run)]:
                count = max(counts)
                part, run = run[:count], run[count:]
                operator = CONVOLUTIONS_OVER_TIME[count, part[0].residual is not None]
                frames = [each.inputs[0] for each in part] + part[-1].inputs[1:]
                residuals = [each.residual for each in part if each.residual]
                inputs = [*frames, *part[0].weights, part[0].bias, *residuals]
                replacements.append(_Replacement(operator, part, inputs))
    return replacements


def _runs(layer: Sequence[Sum]) -> list[list[Sum]]:
    """Sums of a layer in the order of time: each begins with the frame behind the first of the one before."""
    following = {tuple(each.inputs[:-1]): each for each in layer}
    behind = {tuple(each.inputs[1:]) for each in layer}
    runs = []
    for first in layer:
        if tuple(first.inputs[:-1]) not in behind and following[tuple(first.inputs[:-1])] is first:
            run = [first]
            while (each := following.get(tuple(run[-1].inputs[1:]))) and each is not first:
                run.append(each)
            runs.append(run)
    return runs


def _replace(graph: onnx.GraphProto, replacements: Sequence[_Replacement]) -> None:
    """Each operator comes in place of the last of its nodes; what needs an earlier output of it moves behind it."""
    last = {replacement.sums[-1].output: replacement for replacement in replacements}
    nodes_of = ((*found.taps, *found.added) for replacement in replacements for found in replacement.sums)
    gone = {node.output[0] for node in chain.from_iterable(nodes_of)}
    nodes = []
    for node in graph.node:
        if node.output[0] in last:
            nodes.append(last[node.output[0]].node())
        elif node.output[0] not in gone:
            nodes.append(node)
    nodes = _in_order(nodes)
    del graph.node[:]
    graph.node.extend(nodes)


def _in_order(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Puts each node behind those that make its inputs; else the order stays."""
    maker = {name: i for i, node in enumerate(nodes) for name in node.output}
    needed = [{maker[name] for name in node.input if name in maker} for node in nodes]
    users: list[list[int]] = [[] for _ in nodes]
    for i, makers in enumerate(needed):
        for other in makers:
            users[other].append(i)
    waiting = [len(makers) for makers in needed]
    ready = [i for i, count in enumerate(waiting) if not count]
    ordered = []
    while ready:
        i = heapq.heappop(ready)
        ordered.append(nodes[i])
        for user in users[i]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, user)
    if len(ordered) < len(nodes):
        raise ValueError("a graph's nodes depend on each other in a circle")
    return ordered
