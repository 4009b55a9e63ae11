"""Sums of squares of many tensors by one call, as text in LLVM's own language."""

from .llvm_parts import Kind, added_up, decoded, first_lanes

KEEP, SQUARES, MOVED = "keep", "squares", "moved"
"""Of a, while b becomes a copy of it; of a; of a - b."""


def squares(kind: Kind, act: str) -> str:
    """``void ACT_KIND(table, rows, out)``: a sum for each row (address of a, address of b, count) of a table."""
    vector, doubles = f"<{kind.lanes} x {kind.element}>", f"<{kind.lanes} x double>"
    copy = rest = ""
    if act == KEEP:
        copy = f"""
  %kept.at = getelementptr {kind.element}, ptr %b, i64 %at.in
  store {vector} %raw.a.out, ptr %kept.at, align {kind.align}"""
        rest = f"""
  %left = mul i64 %rest, {kind.align}
  %rest.a = getelementptr {kind.element}, ptr %a, i64 %whole
  %rest.b = getelementptr {kind.element}, ptr %b, i64 %whole
  call void @llvm.memcpy.p0.p0.i64(ptr %rest.b, ptr %rest.a, i64 %left, i1 false)"""
    return f"""
define void @{act}_{kind.name}(ptr %table, i64 %rows, ptr %out) #0 {{
entry:
  %any = icmp ne i64 %rows, 0
  br i1 %any, label %row, label %end
row:
  %number = phi i64 [ 0, %entry ], [ %number.next, %last ]
  %start = mul i64 %number, 3
  %a.at = getelementptr i64, ptr %table, i64 %start
  %b.at = getelementptr i64, ptr %a.at, i64 1
  %count.at = getelementptr i64, ptr %a.at, i64 2
  %a = load ptr, ptr %a.at
  %b = load ptr, ptr %b.at
  %count = load i64, ptr %count.at
  %rest = urem i64 %count, {kind.lanes}
  %whole = sub i64 %count, %rest
  %long = icmp ne i64 %whole, 0
  br i1 %long, label %loop, label %last
loop:
  %at.in = phi i64 [ 0, %row ], [ %at.out, %loop ]
  %sum.in = phi {doubles} [ zeroinitializer, %row ], [ %sum.out, %loop ]{_joined(kind, act, "out", "in")}{copy}
  %at.out = add i64 %at.in, {kind.lanes}
  %more = icmp ult i64 %at.out, %whole
  br i1 %more, label %loop, label %last
last:
  %sum.end = phi {doubles} [ zeroinitializer, %row ], [ %sum.out, %loop ]{first_lanes(kind.lanes, "%rest")}
{_joined(kind, act, "all", "end", masked=True)}{rest}{added_up("total", kind.lanes, "%sum.all")}
  %out.at = getelementptr double, ptr %out, i64 %number
  store double %total, ptr %out.at
  %number.next = add i64 %number, 1
  %again = icmp ult i64 %number.next, %rows
  br i1 %again, label %row, label %end
end:
  ret void
}}"""


def _joined(kind: Kind, act: str, tag: str, before: str, *, masked: bool = False) -> str:
    """``%sum.tag``: the squares of one vector, and ``%sum.before``."""
    doubles = f"<{kind.lanes} x double>"
    found, value = _loaded(kind, "a", tag, masked), f"%value.a.{tag}"
    if act == MOVED:
        value = f"%moved.{tag}"
        found += f"{_loaded(kind, 'b', tag, masked)}\n  {value} = fsub {doubles} %value.a.{tag}, %value.b.{tag}"
    return f"""{found}
  %square.{tag} = fmul contract {doubles} {value}, {value}
  %sum.{tag} = fadd contract {doubles} %sum.{before}, %square.{tag}"""


def _loaded(kind: Kind, base: str, tag: str, masked: bool) -> str:
    """``%value.base.tag``: the elements at hand, or those that are left at the end and zeros."""
    lanes, element, name = kind.lanes, kind.element, f"{base}.{tag}"
    vector = f"<{lanes} x {element}>"
    if masked:
        flags = f"<{lanes} x i1> %mask"
        called = f"call {vector} {kind.masked_load(lanes)}"
        load = f"{called}(ptr %at.{name}, i32 {kind.align}, {flags}, {vector} zeroinitializer)"
    else:
        load = f"load {vector}, ptr %at.{name}, align {kind.align}"
    return f"""
  %at.{name} = getelementptr {element}, ptr %{base}, i64 {"%whole" if masked else "%at.in"}
  %raw.{name} = {load}{decoded(kind, "double", f"%raw.{name}", name, lanes)}"""
