"""Parts of the compiled kernels that are alike in all of them, as text in LLVM's own language."""

from typing import NamedTuple


class Kind(NamedTuple):
    """A type of element.

    Attributes:
        name: torch's name of it.
        element: LLVM's type in memory.
        lanes: how many are added in double precision at once.
        number: LLVM's type as a number.
        bits: whole numbers of the same width; without the sign they have the order of the magnitudes.
        magnitude: all bits but the sign.
        infinite: the bits of infinity; those of every NaN are above.
        align: bytes.
    """

    name: str
    element: str
    lanes: int
    number: str
    bits: str
    magnitude: int
    infinite: int
    align: int

    def masked_load(self, lanes: int) -> str:
        """The function that loads some elements of a vector."""
        return f"@llvm.masked.load.v{lanes}" + {"float": "f32", "double": "f64", "i16": "i16"}[self.element]


SINGLE = Kind("float32", "float", 16, "float", "i32", 0x7FFFFFFF, 0x7F800000, 4)
DOUBLE = Kind("float64", "double", 8, "double", "i64", 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000, 8)
BRAIN = Kind("bfloat16", "i16", 16, "float", "i32", 0x7FFFFFFF, 0x7F800000, 2)
KINDS = (SINGLE, DOUBLE, BRAIN)


def declarations() -> str:
    """What all kernels use. Without the attribute LLVM takes half the width that some processors have."""
    lines = [
        'attributes #0 = { nounwind "prefer-vector-width"="512" }',
        "declare double @llvm.sqrt.f64(double)",
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    ]
    for lanes, whole in ((32, "i32"), (16, "i32"), (8, "i64")):
        lines += [
            f"declare double @llvm.vector.reduce.fadd.v{lanes}f64(double, <{lanes} x double>)",
            f"declare {whole} @llvm.vector.reduce.umax.v{lanes}{whole}(<{lanes} x {whole}>)",
            f"declare {whole} @llvm.vector.reduce.add.v{lanes}{whole}(<{lanes} x {whole}>)",
        ]
    for kind in KINDS:
        for lanes in (kind.lanes, 2 * kind.lanes):
            vector = f"<{lanes} x {kind.element}>"
            lines.append(f"declare {vector} {kind.masked_load(lanes)}(ptr, i32, <{lanes} x i1>, {vector})")
    return "\n".join(lines)


def splat(name: str, what: str, lanes: int, value: str | int) -> str:
    """``%name``: a vector that holds one value throughout."""
    return f"""
  %{name}.0 = insertelement <{lanes} x {what}> poison, {what} {value}, i64 0
  %{name} = shufflevector <{lanes} x {what}> %{name}.0, <{lanes} x {what}> poison, <{lanes} x i32> zeroinitializer"""


def cast(name: str, value: str, before: str, after: str) -> str:
    """``%name``: a number, or a vector of them, in the same or another precision."""
    wide, narrow = "double" in after and "float" in before, "float" in after and "double" in before
    return f"\n  %{name} = {'fpext' if wide else 'fptrunc' if narrow else 'bitcast'} {before} {value} to {after}"


def decoded(kind: Kind, real: str, raw: str, tag: str, lanes: int = 0) -> str:
    """``%bits.tag`` and ``%value.tag``: loaded elements as whole numbers and as ``real``; a single one for 0 lanes."""

    def of(what: str) -> str:
        return f"<{lanes} x {what}>" if lanes else what

    if kind is BRAIN:  # the upper half of a number in single precision
        sixteen = f"<{', '.join(['i32 16'] * lanes)}>" if lanes else "16"
        found = f"""
  %half.{tag} = zext {of("i16")} {raw} to {of("i32")}
  %bits.{tag} = shl {of("i32")} %half.{tag}, {sixteen}
  %number.{tag} = bitcast {of("i32")} %bits.{tag} to {of("float")}"""
    else:
        found = f"""
  %bits.{tag} = bitcast {of(kind.element)} {raw} to {of(kind.bits)}
  %number.{tag} = bitcast {of(kind.element)} {raw} to {of(kind.number)}"""
    return found + cast(f"value.{tag}", f"%number.{tag}", of(kind.number), of(real))


def first_lanes(lanes: int, rest: str) -> str:
    """``%mask``: the first ``rest`` lanes."""
    numbers = ", ".join(f"i64 {number}" for number in range(lanes))
    return f"""{splat("rests", "i64", lanes, rest)}
  %mask = icmp ult <{lanes} x i64> <{numbers}>, %rests"""


def added_up(name: str, lanes: int, value: str) -> str:
    """``%name``: the sum over the lanes of a vector in double precision."""
    return f"""
  %{name} = call reassoc double @llvm.vector.reduce.fadd.v{lanes}f64(double 0.0, <{lanes} x double> {value})"""
