"""What a look into the network tells the rules: gradients of layers, weights, and how far all parameters moved."""

from typing import NamedTuple

from ..frames import Frame, Layer, Parameter
from ..robust import norm_of, ratio


def gradient_layers(frame: Frame) -> list[Layer]:
    """The gradient summaries of a frame's layers."""
    return [layer for layer in frame.layers if layer.summary_type == "gradient"]


def weights_of(frame: Frame) -> list[Parameter]:
    """The matrices and kernels among a frame's parameters that have a gradient: biases and scales have other scales."""
    return [
        one for one in frame.parameters
        if len(one.parameter_shape or ()) >= 2 and one.gradient_norm is not None and one.weight_norm is not None
    ]  # fmt: skip


class Motion(NamedTuple):
    """All parameters of a frame together: the norms of their update, of themselves and of their gradient."""

    update: float
    weight: float
    gradient: float

    @property
    def share(self) -> float:
        """The update as a share of the weights."""
        return ratio(self.update, self.weight)


def motion(frame: Frame) -> Motion | None:
    """How far all parameters of a frame moved; None where no update was recorded."""
    updates = [one.update_norm for one in frame.parameters if one.update_norm is not None]
    if not updates:
        return None
    weights = [one.weight_norm for one in frame.parameters if one.weight_norm is not None]
    gradients = [one.gradient_norm for one in frame.parameters if one.gradient_norm is not None]
    return Motion(norm_of(updates), norm_of(weights), norm_of(gradients))
