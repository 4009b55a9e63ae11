"""All statistics of a tensor by one read of it, as text in LLVM's own language.

The loops are written with vectors, so that nothing depends on what an optimiser makes of them; LLVM cuts the vectors to
those of the processor. All sums are around the tensor's first element, for it is near the mean. Where it is not, or
where squares leave the range of single precision, the tensor is read again in double: with (first - mean)^2 at most
count * variance no more than count * 1e-16 of the variance can cancel then, wherever the mean lies.
"""

from typing import NamedTuple

from .llvm_parts import DOUBLE, Kind, added_up, cast, decoded, first_lanes, splat

MOMENTS, DEAD, SATURATED = range(3)
"""What is counted beside the moments: nothing, dead elements and units, and saturated elements, too."""

VECTORS = 32
"""Additions in single precision before the sums go on in double: their rounding stays below 2e-6."""


class Loop(NamedTuple):
    """How the elements are gone through: their kind, how many at once, summed as what, and what is counted."""

    kind: Kind
    lanes: int
    real: str
    level: int

    @property
    def quick(self) -> bool:
        """In single precision, and not sure of itself."""
        return self.real == "float"

    def of(self, what: str) -> str:
        """The type of a vector."""
        return f"<{self.lanes} x {what}>"

    @property
    def counts(self) -> tuple[str, ...]:
        """What is kept in whole numbers."""
        return ("top", "dead", "full")[: self.level + 1]


def measures(kind: Kind, level: int) -> str:
    """``i32 measure_KIND_LEVEL(data, count, plan, out)``: 0, or 1 where the statistics must be taken another way.

    plan holds as doubles: epsilon, low and high limit, and outer, units, inner (0: no units). out gets as doubles:
    mean, variance, norm, largest magnitude, dead, saturated, share of dead units. There is at least one element.
    """
    exact = Loop(kind, kind.lanes, "double", level)
    if kind is DOUBLE:
        return _function("measure", exact)
    return _function("exact", exact) + _function("measure", Loop(kind, 2 * kind.lanes, "float", level))


def _function(what: str, loop: Loop) -> str:
    kind, lanes, real, level = loop
    element, vector, doubles = kind.element, loop.of(kind.element), loop.of("double")
    sums = {one: (doubles, f"%{one}.{'wide' if loop.quick else 'out'}") for one in ("sum", "squares")}
    sums |= {one: (loop.of(kind.bits), f"%{one}.out") for one in loop.counts}
    outer = {one: f"phi {of} [ zeroinitializer, %entry ], [ {end}, %block.end ]" for one, (of, end) in sums.items()}
    far = "".join(f"\n  %{one}.far = {phi}" for one, phi in outer.items())
    ends = "".join(f"\n  %{one}.end = {phi}" for one, phi in outer.items())
    before = {one: f"%{one}.end" for one in sums}
    if loop.quick:
        before |= {"sum": "zeroinitializer", "squares": "zeroinitializer"}
    return f"""
define i32 @{what}_{kind.name}_{level}(ptr %data, i64 %count, ptr %plan, ptr %out) #0 {{
entry:
  %raw.one = load {element}, ptr %data{decoded(kind, real, "%raw.one", "one")}
{splat("first", real, lanes, "%value.one")}{splat("raw.first", element, lanes, "%raw.one")}
{splat("magnitude", kind.bits, lanes, kind.magnitude)}{_limits(loop)}
  %rest = urem i64 %count, {lanes}
  %whole = sub i64 %count, %rest
  %long = icmp ne i64 %whole, 0
  br i1 %long, label %block, label %last
block:
  %at.far = phi i64 [ 0, %entry ], [ %at.out, %block.end ]{far}
  %next = add i64 %at.far, {VECTORS * lanes}
  %partial = icmp ugt i64 %next, %whole
  %stop = select i1 %partial, i64 %whole, i64 %next
  br label %loop
loop:
  %at.in = phi i64 [ %at.far, %block ], [ %at.out, %loop ]{_carried(loop)}
  %place = getelementptr {element}, ptr %data, i64 %at.in
  %raw.out = load {vector}, ptr %place, align {kind.align}
{_joined(loop, "out", {one: f"%{one}.in" for one in sums})}
  %at.out = add i64 %at.in, {lanes}
  %more = icmp ult i64 %at.out, %stop
  br i1 %more, label %loop, label %block.end
block.end:{_widened(loop, "out", "far", "wide")}
  %again = icmp ult i64 %at.out, %whole
  br i1 %again, label %block, label %last
last:{ends}
  %tail = getelementptr {element}, ptr %data, i64 %whole{first_lanes(lanes, "%rest")}
  %raw.all = call {vector} {kind.masked_load(lanes)}(
    ptr %tail, i32 {kind.align}, {loop.of("i1")} %mask, {vector} %raw.first)
{_joined(loop, "all", before, "%mask")}{_widened(loop, "all", "end", "total")}{_concluded(loop)}
}}"""


def _carried(loop: Loop) -> str:
    """What goes from vector to vector within a block; sums in single precision begin with it."""
    start = "zeroinitializer" if loop.quick else "%{}.far"
    carried = [(one, loop.of(loop.real), start.format(one)) for one in ("sum", "squares")]
    carried += [(one, loop.of(loop.kind.bits), f"%{one}.far") for one in loop.counts]
    return "".join(f"\n  %{one}.in = phi {of} [ {begin}, %block ], [ %{one}.out, %loop ]" for one, of, begin in carried)


def _widened(loop: Loop, tag: str, before: str, after: str) -> str:
    """``%sum.after`` and ``%squares.after``: sums in single precision join those in double."""
    if not loop.quick:
        return ""
    return "".join(
        cast(f"{one}.{tag}.wide", f"%{one}.{tag}", loop.of("float"), loop.of("double"))
        + f"\n  %{one}.{after} = fadd {loop.of('double')} %{one}.{before}, %{one}.{tag}.wide"
        for one in ("sum", "squares")
    )


def _joined(loop: Loop, tag: str, before: dict[str, str], mask: str = "") -> str:
    """One vector of elements joins the sums; with a mask the lanes beyond it hold the first element, and count none."""
    reals, wholes, flags = loop.of(loop.real), loop.of(loop.kind.bits), loop.of("i1")
    found = f"""{decoded(loop.kind, loop.real, f"%raw.{tag}", tag, loop.lanes)}
  %off.{tag} = fsub {reals} %value.{tag}, %first
  %square.{tag} = fmul contract {reals} %off.{tag}, %off.{tag}
  %sum.{tag} = fadd {reals} {before["sum"]}, %off.{tag}
  %squares.{tag} = fadd contract {reals} {before["squares"]}, %square.{tag}
  %size.{tag} = and {wholes} %bits.{tag}, %magnitude
  %larger.{tag} = icmp ugt {wholes} %size.{tag}, {before["top"]}
  %top.{tag} = select {flags} %larger.{tag}, {wholes} %size.{tag}, {wholes} {before["top"]}"""
    if loop.level >= DEAD:
        found += f"\n  %is.dead.{tag} = icmp ule {wholes} %size.{tag}, %epsilon"
    if loop.level >= SATURATED:
        found += f"""
  %is.high.{tag} = fcmp oge {reals} %value.{tag}, %high
  %is.low.{tag} = fcmp ole {reals} %value.{tag}, %low
  %is.full.{tag} = or {flags} %is.high.{tag}, %is.low.{tag}"""
    for one in loop.counts[1:]:
        flag = f"%is.{one}.{tag}"
        if mask:
            found += f"\n  %counts.{one} = and {flags} {flag}, {mask}"
            flag = f"%counts.{one}"
        found += f"""
  %one.{one}.{tag} = zext {flags} {flag} to {wholes}
  %{one}.{tag} = add {wholes} {before[one]}, %one.{one}.{tag}"""
    return found


def _limits(loop: Loop) -> str:
    """What the plan asks for, in all lanes."""
    kind, lanes, real, level = loop
    found = ""
    if level >= DEAD:
        found += _field("epsilon", 0) + cast("narrow.epsilon", "%plan.epsilon", "double", kind.number)
        found += f"\n  %bits.epsilon = bitcast {kind.number} %narrow.epsilon to {kind.bits}"
        found += splat("epsilon", kind.bits, lanes, "%bits.epsilon")
    if level >= SATURATED:
        for name, index in (("low", 1), ("high", 2)):
            found += _field(name, index) + cast(f"narrow.{name}", f"%plan.{name}", "double", kind.number)
            found += cast(f"real.{name}", f"%narrow.{name}", kind.number, real)
            found += splat(name, real, lanes, f"%real.{name}")
    return found


def _field(name: str, index: int) -> str:
    return f"""
  %plan.{name}.at = getelementptr double, ptr %plan, i64 {index}
  %plan.{name} = load double, ptr %plan.{name}.at"""


def _put(index: int, value: str) -> str:
    return f"""
  %out.{index} = getelementptr double, ptr %out, i64 {index}
  store double {value}, ptr %out.{index}"""


def _concluded(loop: Loop) -> str:
    """From the sums to the statistics."""
    kind, lanes, real, level = loop
    total = "total" if loop.quick else "all"
    found = added_up("sum", lanes, f"%sum.{total}") + added_up("squares", lanes, f"%squares.{total}")
    found += cast("start", "%value.one", real, "double")
    found += f"""
  %number = uitofp i64 %count to double
  %shift = fdiv double %sum, %number
  %mean = fadd double %start, %shift
  %spread = fdiv double %squares, %number
  %shift2 = fmul double %shift, %shift
  %difference = fsub double %spread, %shift2
  %positive = fcmp ogt double %difference, 0.0
  %variance = select i1 %positive, double %difference, double 0.0
  %mean2 = fmul double %mean, %mean
  %power = fadd double %variance, %mean2
  %energy = fmul double %power, %number
  %norm = call double @llvm.sqrt.f64(double %energy)
  %top = call {kind.bits} @llvm.vector.reduce.umax.v{lanes}{kind.bits}({loop.of(kind.bits)} %top.all)
  %bad = icmp uge {kind.bits} %top, {kind.infinite}
  %narrow.top = bitcast {kind.bits} %top to {kind.number}{cast("max", "%narrow.top", kind.number, "double")}"""
    found += _put(0, "%mean") + _put(1, "%variance") + _put(2, "%norm") + _put(3, "%max") + _trusted(loop)
    if level >= SATURATED:
        found += _counted("full", loop) + _put(5, "%number.full")
    return f"{found}\n  ret i32 %status" if level == MOMENTS else found + _units(loop)


def _trusted(loop: Loop) -> str:
    """``%status``; and where single precision may not have been enough, double takes over."""
    kind, _, _, level = loop
    if loop.real == "double" and kind is not DOUBLE:  # no square of single precision leaves double
        return "\n  %status = zext i1 %bad to i32"
    largest, smallest = ("1.0e140", "1.0e-140") if kind is DOUBLE else ("1.0e15", "1.0e-12")
    found = f"""
  %some = fcmp ogt double %max, 0.0
  %big = fcmp ogt double %max, {largest}
  %small = fcmp olt double %max, {smallest}
  %lost = and i1 %some, %small
  %range = or i1 %big, %lost"""
    if kind is DOUBLE:
        return f"{found}\n  %wrong = or i1 %bad, %range\n  %status = zext i1 %wrong to i32"
    return f"""{found}
  %tenth = fmul double %spread, 0.1
  %cancels = fcmp olt double %difference, %tenth
  %faint = fcmp olt double %spread, 1.0e-30
  %differ = fcmp ogt double %spread, 0.0
  %faded = and i1 %faint, %differ
  %vague = or i1 %cancels, %faded
  %doubtful = or i1 %vague, %range
  %again.all = or i1 %doubtful, %bad
  br i1 %again.all, label %exactly, label %sure
exactly:
  %exact = call i32 @exact_{kind.name}_{level}(ptr %data, i64 %count, ptr %plan, ptr %out)
  ret i32 %exact
sure:
  %status = zext i1 %bad to i32"""


def _counted(name: str, loop: Loop) -> str:
    """``%number.name``: the flags that were counted in all lanes, as a double."""
    bits = loop.kind.bits
    return f"""
  %all.{name} = call {bits} @llvm.vector.reduce.add.v{loop.lanes}{bits}({loop.of(bits)} %{name}.all)
  %number.{name} = uitofp {bits} %all.{name} to double"""


def _units(loop: Loop) -> str:
    """The dead elements; and the share of dead units, where there are enough of those for one."""
    kind = loop.kind
    return f"""{_counted("dead", loop)}{_put(4, "%number.dead")}
{_field("outer", 3)}{_field("units", 4)}{_field("inner", 5)}
  %outer = fptoui double %plan.outer to i64
  %units = fptoui double %plan.units to i64
  %inner = fptoui double %plan.inner to i64
  %least = fmul double %plan.outer, %plan.inner
  %enough = fcmp oge double %number.dead, %least
  %asked = fcmp ogt double %plan.units, 0.0
  %may.be = and i1 %enough, %asked
  br i1 %may.be, label %units.look, label %done
units.look:
  %units.dead = call i64 @dead_units_{kind.name}(
    ptr %data, i64 %outer, i64 %units, i64 %inner, {kind.bits} %bits.epsilon)
  %units.number = uitofp i64 %units.dead to double
  %units.share = fdiv double %units.number, %plan.units
  br label %done
done:
  %share = phi double [ 0.0, %{"sure" if loop.quick else "last"} ], [ %units.share, %units.look ]{_put(6, "%share")}
  ret i32 %status"""


def dead_units(kind: Kind) -> str:
    """``i64 dead_units_KIND(data, outer, units, inner, epsilon)``: one live element ends the look at a unit."""
    return f"""
define i64 @dead_units_{kind.name}(ptr %data, i64 %outer, i64 %units, i64 %inner, {kind.bits} %epsilon) #0 {{
entry:
  %stride = mul i64 %units, %inner
  br label %unit
unit:
  %number = phi i64 [ 0, %entry ], [ %number.next, %unit.end ]
  %dead = phi i64 [ 0, %entry ], [ %dead.next, %unit.end ]
  %begin = mul i64 %number, %inner
  br label %run
run:
  %sample = phi i64 [ 0, %unit ], [ %sample.next, %run.end ]
  %from = phi i64 [ %begin, %unit ], [ %from.next, %run.end ]
  br label %each
each:
  %index = phi i64 [ 0, %run ], [ %index.next, %each.end ]
  %offset = add i64 %from, %index
  %place = getelementptr {kind.element}, ptr %data, i64 %offset
  %raw = load {kind.element}, ptr %place{decoded(kind, kind.number, "%raw", "one")}
  %size = and {kind.bits} %bits.one, {kind.magnitude}
  %alive = icmp ugt {kind.bits} %size, %epsilon
  br i1 %alive, label %unit.end, label %each.end
each.end:
  %index.next = add i64 %index, 1
  %in.run = icmp ult i64 %index.next, %inner
  br i1 %in.run, label %each, label %run.end
run.end:
  %sample.next = add i64 %sample, 1
  %from.next = add i64 %from, %stride
  %in.unit = icmp ult i64 %sample.next, %outer
  br i1 %in.unit, label %run, label %unit.end
unit.end:
  %is.dead = phi i64 [ 0, %each ], [ 1, %run.end ]
  %dead.next = add i64 %dead, %is.dead
  %number.next = add i64 %number, 1
  %in.all = icmp ult i64 %number.next, %units
  br i1 %in.all, label %unit, label %end
end:
  ret i64 %dead.next
}}"""
