"""What kind of layer a module is: where its units lie, and which values of its output are saturated."""

from typing import Any

_SPATIAL = ("Conv", "LazyConv", "BatchNorm", "LazyBatchNorm", "SyncBatchNorm", "InstanceNorm", "LazyInstanceNorm",
            "GroupNorm", "MaxPool", "AvgPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "FractionalMaxPool",
            "LocalResponseNorm", "Dropout2d", "Dropout3d", "Dropout1d", "PixelShuffle", "Upsample")  # fmt: skip
_FEATURES_LAST = ("Linear", "LazyLinear", "Bilinear", "Identity", "LayerNorm", "RMSNorm", "Embedding", "EmbeddingBag",
                  "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell", "MultiheadAttention",
                  "NonDynamicallyQuantizableLinear")  # fmt: skip
_RANGES = {"Sigmoid": (0.0, 1.0), "Hardsigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Hardtanh": (-1.0, 1.0)}
_INFINITE = float("inf")


def spatial_dims(module: Any) -> int | None:
    """0 for a layer whose units are the last dimension, d for one with channels before d spatial dimensions.

    d is -1 where the class does not tell how many; None for a layer that keeps whatever order it is given (ReLU).
    """
    name = type(module).__name__.removeprefix("Parametrized")
    if name in _FEATURES_LAST:
        return 0
    if name.startswith(_SPATIAL):
        return int(name[-2]) if name[-1] == "d" and name[-2].isdigit() else -1
    return None


class UnitOrder:
    """Tells the unit dimension of tensors; a layer such as ReLU inherits that of the last tensor of its shape."""

    def __init__(self) -> None:
        self._of_shape: dict[Any, int] = {}

    def dim(self, shape: Any, spatial: int | None) -> int | None:
        """The dimension along which the units of a tensor lie: 1 for (batch, channels, ...), else the last one.

        Args:
            shape: of the tensor; one with a single dimension or none has no units.
            spatial: as ``spatial_dims`` says of the module.
        """
        dims = len(shape)
        if dims < 2:
            return None
        if spatial is None:
            known = self._of_shape.get(shape)
            return known if known is not None else 1 if dims >= 4 else dims - 1
        if spatial == 0:
            dim = dims - 1
        else:
            dim = 0 if spatial == dims - 1 and dims > 2 else 1  # without a batch dimension channels come first
        self._of_shape[shape] = dim
        return dim


def saturation_limits(module: Any, types: tuple[str, ...], threshold: float | None) -> tuple[float, float] | None:
    """(low, high): outputs at or beyond either are saturated; None for a module that does not saturate.

    ``high`` is the threshold's share of the activation's upper limit. An activation that is symmetrical about zero
    (Tanh) has the same limit below; one between 0 and 1 (Sigmoid) the mirrored one; ReLU6 saturates above only, for
    zero is the dead end. The range of a type that is not known here is taken as -1 to 1.
    """
    kind = type(module)
    if threshold is None or not ({kind.__name__, f"{kind.__module__}.{kind.__qualname__}"} & set(types)):
        return None
    low, high = _RANGES.get(kind.__name__, (-1.0, 1.0))
    if hasattr(module, "min_val") and hasattr(module, "max_val"):
        low, high = float(module.min_val), float(module.max_val)
    if kind.__name__ == "ReLU6":
        return -_INFINITE, threshold * high
    if low == 0.0:
        return (1.0 - threshold) * high, threshold * high
    return threshold * low, threshold * high
