"""A given graph as it runs: fed by frames that are normalised by hand, with what its output means."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import ContractError
from edge.metrics import label_agreement
from edge.postprocess import upsample_argmax
from export.adopt import checks, cleaning, layout, model_file
from export.adopt.checks import Interface, Reference
from export.adopt.cleaning import Tail
from export.adopt.contract import ForeignContract
from export.adopt.graph_ending import Ending, find_ending, reshaped_mask
from export.adopt.label_rule import LabelRule, check_mask, resized, settle_rule
from export.adopt.ort_saved import standard_operators


@dataclass(frozen=True)
class UsedPart:
    """Part of a given graph that the adopted one is made of: all but an end that labels do not need.

    Attributes:
        logits: name of the tensor that it ends with.
        stride: number of input pixels per logit along an axis.
        coordinates: coordinate rule of the upsampling that is left to post-processing.
        cut: operator that was cut off behind the numbers that decide, "Sigmoid" or "Softmax"; "" for none.
        changes: sentences that say what was cut off.
    """

    logits: str
    stride: int
    coordinates: str
    cut: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenGraph:
    """A given graph, and the rule by which its output becomes labels.

    Attributes:
        path: path of the graph, for messages.
        model: onnx.ModelProto as its owner made it; left as it is.
        contract: contract of its owner.
        interface: input, output and size of the graph.
        ending: end of the graph: the tensor that holds a value for each class, and the graph's own decision.
        rule: rule by which these values become labels.
        stride: number of input pixels per value along an axis.
        turned: sentences that say which ends are NHWC in the file.
    """

    path: Path
    model: Any
    contract: ForeignContract
    interface: Interface
    ending: Ending
    rule: LabelRule
    stride: int
    turned: tuple[str, ...] = ()

    def reference(self, *tensors: str) -> Reference:
        """Return what runs the graph for its output, its values and some other tensors."""
        names = tuple(dict.fromkeys((self.interface.output_name, self.ending.values, *tensors)))
        return Reference(self.path, self.model, self.contract, self.interface, names)

    def used_part(self, work: Any, frame: np.ndarray) -> UsedPart:
        """Return the part of the graph that labels need.

        Args:
            work: onnx.ModelProto of a copy of the graph, with constants folded.
            frame: prepared frame, (1, height, width, 3) uint8 RGB.

        Raises:
            ContractError: the upsampling at the end is by another rule than the contract says, or the graph has none
                and the contract no rule.
        """
        tail = self._tail(work) if self.stride == 1 else None
        logits, stride, coordinates, cut, changes = self.ending.values, self.stride, self.contract.coordinates, "", ()
        if tail is not None:
            logits, cut, nodes = tail.logits, tail.cut, ", ".join(tail.nodes)
            changes = (f"{nodes} cut off: labels follow from what it reads",)
        if tail is not None and tail.coordinates is not None:
            coordinates = tail.coordinates
            stride = self.interface.height // self.reference(logits)(frame)[logits].shape[2]
            what = f"upsampling by {stride} ({coordinates}) is left to post-processing"
            changes = (f"{what}: {nodes} cut off, labels stay the same",)
        if coordinates is None and stride != 1:
            raise ContractError(
                f"{self.path} gives logits at stride {stride}, its contract lacks the rule that upsamples them. "
                'Next: add "coordinates": "half_pixel" or "align_corners"'
            )
        # Of logits at full size there is nothing to upsample.
        return UsedPart(logits, stride, coordinates or "half_pixel", cut, changes)

    def _tail(self, work: Any) -> Tail | None:
        """Return the end that labels do not need; None if there is none."""
        height, width = self.interface.height, self.interface.width
        has_thresholds = bool(self.rule.decision.thresholds)
        tail = cleaning.find_tail(work, self.ending.values, height, width, self.rule.passes, has_thresholds)
        if tail is None or tail.logits not in {name for node in self.model.graph.node for name in node.output}:
            return None
        if tail.coordinates is not None and self.contract.coordinates not in (None, tail.coordinates):
            raise ContractError(
                f"{self.path} upsamples its logits by {tail.coordinates} ({tail.nodes[-1]}), its contract says "
                f"{self.contract.coordinates}, expected the same. Next: leave coordinates out of the contract"
            )
        return tail

    def agreement(self, given: dict[str, np.ndarray], labels: np.ndarray, used: UsedPart) -> float:
        """Return the share of pixels whose label is what the graph's own output means by definition.

        Args:
            given: output and values that the graph gave for a frame, by name.
            labels: labels of the adopted graph, (height, width) uint8.
            used: part of the graph that the adopted one was made of.
        """
        (height, width), cut, coordinates = labels.shape, used.cut, used.coordinates
        values = given[self.ending.values]
        mask = None
        if self.ending.is_decided:
            mask = reshaped_mask(given[self.interface.output_name], values)[0]
        if values.shape[2:] == (height, width):
            return self.rule.agreement(values[0], labels, cut, mask)
        if self.rule.decision.thresholds:
            return self.rule.agreement(resized(values[0], height, width, coordinates), labels, cut)
        # Without thresholds the definition is post-processing's own, which makes no planes at full size.
        kept = np.ascontiguousarray(values[:, list(self.rule.channels)])
        return label_agreement(upsample_argmax(kept, height, width, coordinates), labels)


def read_given(
    path: Path, model: Any, contract: ForeignContract, interface: Interface, frame: np.ndarray
) -> tuple[GivenGraph, Any, int]:
    """Run a graph on a frame, and settle what its output means.

    Args:
        path: path of the graph, for messages.
        model: onnx.ModelProto as its owner made it; left as it is.
        contract: contract of its owner.
        interface: input, output and size of the graph.
        frame: prepared frame, (1, height, width, 3) uint8 RGB.

    Returns:
        (the graph, a copy of it at a modern opset with constants folded, number of nodes that were folded).

    Raises:
        GraphError: the graph does not run, still trains, or gives something else than the contract says.
        ContractError: the contract lacks a decision that the graph needs, or contradicts it.
    """
    output = interface.output_name
    first = Reference(path, model, contract, interface, (output,))(frame)[output]
    turned = [layout.sentence(model, "input", interface.input_name)] if interface.is_input_turned else []
    counts, size = contract.decision.channel_counts, (interface.height, interface.width)
    if layout.is_output_channels_last(path, model, output, first.shape, counts, size):
        model, first = layout.output_channels_first(model, output), first.transpose(layout.TO_FIRST)
        turned.append(layout.sentence(model, "output", output))
    work = checks.select(path, model_file.modernised(path, standard_operators(model)), interface, (output,))
    folded = cleaning.fold_constants(work)
    if turned:
        layout.cancel_transposes(work)
    model_file.refuse_training(path, work)
    ending, values = find_ending(path, work, output), first
    if ending.values not in {name for node in model.graph.node for name in node.output}:
        ending = Ending(output, ending.source)  # a name of the conversion to a newer opset
    if ending.values != output:
        values = Reference(path, model, contract, interface, (ending.values,))(frame)[ending.values]
    at_values = dataclasses.replace(interface, output_name=ending.values)
    stride = checks.check_output(path, model, contract, at_values, values)
    rule = settle_rule(path, contract, ending, values)
    if ending.is_decided:
        check_mask(path, ending, reshaped_mask(first, values), interface.height, interface.width)
    return GivenGraph(path, model, contract, interface, ending, rule, stride, tuple(turned)), work, folded
