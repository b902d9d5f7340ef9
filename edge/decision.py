"""How a network's output becomes a label, where that is not simply the largest of all channels.

Every decision is an argmax over the logits of an adopted graph, so that post-processing, kernels and checks know one
rule alone. Bilinear interpolation keeps a constant: "the interpolated value is over t" is the argmax over a plane of
zeros and the interpolated value less t, at every pixel. The plane of zeros is label 0, the background, which also wins
a tie. This record says what was turned into those planes, for people; export/adopt/label_rule.py does it.
"""

from __future__ import annotations

from edge.errors import ContractError
from edge.records import record

ARGMAX, BINARY, PER_CLASS = "argmax", "binary", "per-class"
DECISIONS = (ARGMAX, BINARY, PER_CLASS)
"""Rules by which the channels of an output become labels.

    argmax     the largest channel
    binary     one channel, or a pair of them: over a threshold it is the class, else the background
    per-class  a threshold for each channel: of those that are over theirs the one that is over by most, else the
               background
"""

PROBABILITY, LOGIT = "probability", "logit"
UNITS = (PROBABILITY, LOGIT)
"""Units of a threshold: a probability, 0 to 1, where the named output comes from a Sigmoid or Softmax, else a logit."""


@record(schema=1, what="decision")
class Decision:
    """Decision as the owner of an adopted network wrote it in its contract.

    Attributes:
        kind: Rule of the labels, one of DECISIONS.
        thresholds: Threshold of each class in units of the output that the contract names; empty for argmax.
        unit: Unit of the thresholds, one of UNITS.
        background: Name of label 0, which a pixel gets that is over no threshold; None for argmax.
        void_channel: Index of an output channel that is no class and was cut out; None where all channels are classes.
    """

    kind: str
    thresholds: tuple[float, ...] = ()
    unit: str = LOGIT
    background: str | None = None
    void_channel: int | None = None

    def __post_init__(self) -> None:
        for what, found, known in (("decision", self.kind, DECISIONS), ("unit of its threshold", self.unit, UNITS)):
            if found not in known:
                raise ContractError(f"the {what} is '{found}', expected one of: {', '.join(known)}")
        has_thresholds, has_background = bool(self.thresholds), self.background is not None
        if (has_thresholds, has_background) != (self.kind != ARGMAX,) * 2:
            raise ContractError(
                f"the decision {self.kind} has {len(self.thresholds)} thresholds and the background {self.background}, "
                f"expected {'neither' if self.kind == ARGMAX else 'both'}"
            )

    def check_classes(self, class_names: tuple[str, ...]) -> None:
        """Refuse classes that the decision does not give.

        Args:
            class_names: Names of the labels, in their order.

        Raises:
            ContractError: The background is not the first class, or the number of thresholds differs from that of the
                others.
        """
        if self.kind == ARGMAX:
            return
        if not class_names or class_names[0] != self.background:
            raise ContractError(
                f"the decision {self.kind} has the background '{self.background}', the classes begin with "
                f"'{class_names[0] if class_names else ''}', expected the same"
            )
        if len(self.thresholds) != len(class_names) - 1:
            raise ContractError(
                f"the decision {self.kind} has {len(self.thresholds)} thresholds for {len(class_names)} classes, "
                f"expected {len(class_names) - 1}: one for each but the background"
            )

    def sentence(self, class_names: tuple[str, ...]) -> str:
        """Return the decision as a sentence for people, without a period.

        Args:
            class_names: Names of the labels, in their order.
        """
        void = "" if self.void_channel is None else f"channel {self.void_channel} is no class and never wins"
        if self.kind == ARGMAX:
            return ", ".join(filter(None, ("a pixel has the class of the largest channel", void)))
        words = [f"{value:g}" for value in self.thresholds]
        if self.kind == BINARY:
            rule = f"a pixel is '{class_names[1]}' where its {self.unit} is over {words[0]}, else '{self.background}'"
        elif len(set(words)) == 1:
            rule = (
                f"a pixel has the class whose {self.unit} is over {words[0]} by most, '{self.background}' where none is"
            )
        else:
            over = ", ".join(f"'{name}' {word}" for name, word in zip(class_names[1:], words))
            rule = (
                f"a pixel has the class whose {self.unit} is over its threshold by most ({over}), "
                f"'{self.background}' where none is"
            )
        return ", ".join(filter(None, (rule, void)))
