"""What known GPUs can do at most in dense bfloat16, by the name that their driver gives them.

The figures are the makers' own, without sparsity, from the data sheets of NVIDIA (V100, T4, A10, A30, A40, A100, L4,
L40, L40S, H100, H200, GH200, B200; the GeForce ones from the architecture whitepapers, with fp32 accumulation) and AMD
(Instinct MI210, MI250X, MI300X, MI325X). V100 and T4 have no bfloat16: theirs is float16. Boards with a lower power
limit reach less; where it matters, pass ``peak_flops``.
"""

import re

from .telemetry.once import warn_once
from .telemetry.timing import active_cuda

TERA = 1e12

PEAKS: tuple[tuple[str, float], ...] = (
    (r"B200", 2250),
    (r"GH200", 989),
    (r"H200 NVL", 835),
    (r"H200", 989),
    (r"H100 NVL", 835),
    (r"H100 PCIe", 756),
    (r"H100", 989),
    (r"A100", 312),
    (r"A40", 149.7),
    (r"A30", 165),
    (r"A10G", 70),
    (r"A10", 125),
    (r"L40S", 362),
    (r"L40", 181),
    (r"L4", 121),
    (r"RTX A6000", 154.8),
    (r"RTX 4090", 165.2),
    (r"RTX 3090", 71),
    (r"V100", 125),
    (r"T4", 65),
    (r"MI325X", 1307),
    (r"MI300X", 1307),
    (r"MI250X", 383),
    (r"MI210", 181),
)
"""Part of a name, as whole words, and the peak in tera-operations a second; the first that fits counts."""

_OTHERS = re.compile(r"Laptop|Max-Q|\bMIG\b|RTX 4090 D")
"""What the table's names stand in too, but with fewer units: boards of notebooks, slices of a divided GPU."""


def peak_flops_of(name: str) -> float | None:
    """The peak of the GPU called ``name``, in operations a second; None if it is not in the table."""
    if _OTHERS.search(name):
        return None
    for part, peak in PEAKS:
        if re.search(rf"(?<![A-Za-z0-9]){part}(?![A-Za-z0-9])", name):
            return peak * TERA
    return None


def device_peak_flops() -> float | None:
    """The peak of the GPU that this thread uses; None if there is none, or it is not known, which is said once."""
    cuda = active_cuda()
    if cuda is None:
        warn_once("peak flops", "no MFU is recorded: torch uses no GPU here; pass Throughput(peak_flops=...)")
        return None
    try:
        name = str(cuda.get_device_name(cuda.current_device()))
    except (RuntimeError, AssertionError):  # a lost device; the training will say so
        return None
    peak = peak_flops_of(name)
    if peak is None:
        warn_once(
            f"peak flops {name}", f"no MFU is recorded: the peak of the GPU {name!r} is not known; pass "
            "Throughput(peak_flops=...) from its data sheet",
        )  # fmt: skip
    return peak
