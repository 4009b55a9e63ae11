"""Runs compiled models eagerly while a step is probed: no hook fires inside compiled code."""

import os
import sys
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

EAGER = "force_eager"

_ON_CALL = "_callback_from_stance"
"""The function by which torch asks for the stance when compiled code is called; elsewhere it asks while a call ends."""

_lock = threading.RLock()  # a signal may end the run in the middle
_active: tuple["EagerStep", ...] = ()
_of_context: ContextVar[tuple["EagerStep", ...]] = ContextVar("quark_eager_steps", default=())


def can_run_eagerly() -> bool:
    """Whether this torch can run compiled code eagerly for a while, as 2.6 and later can."""
    return hasattr(sys.modules["torch"].compiler, "set_stance")


class EagerStep:
    """The part of a step in which ``torch.compile`` is passed over, as by ``torch.compiler.set_stance("force_eager")``.

    Nothing is recompiled for it: compiled code is left alone and used again afterwards. Torch's stance is that of the
    whole process; this one is for the thread and the context in which the step began, and for backward passes, whose
    threads are torch's own: checkpointed regions must run again as they ran before. Several steps may overlap.
    """

    def __init__(self) -> None:
        self.thread = 0
        self.met = False
        self.easing = False
        self.over = False

    def begin(self) -> None:
        """Run compiled code eagerly from now on, if there can be any: torch loads its compiler when it is asked for."""
        global _active
        if "torch._dynamo" not in sys.modules:
            return
        with _lock:
            if not _active and not _install():
                return
            _active = (*_active, self)
        self.thread = threading.get_ident()
        _of_context.set((*(step for step in _of_context.get() if step in _active), self))

    def ease(self) -> bool:
        """Run compiled code as ever again from its next call on; False if none was called so far.

        In the middle of a call ``end`` will not do: torch raises if a call of a function with ``fullgraph=True`` ends
        without any compiled code, unless it is to run eagerly.
        """
        self.easing = self.met
        return self.met

    def passes_over(self, calls: bool) -> bool:
        """Whether to run compiled code eagerly; ``calls``: some is being called."""
        if calls:
            self.met = True
            self.over = self.over or self.easing
        return not self.over

    def end(self) -> None:
        """Run compiled code as ever again. Ending twice is fine."""
        global _active
        with _lock:
            if self in _active:
                _active = tuple(step for step in _active if step is not self)
                if not _active:
                    _uninstall()


class _Stance:
    """Stands in for the stance that was set before; each call of compiled code asks it what to do."""

    def __init__(self, before: Any) -> None:
        self.before = before

    @property
    def stance(self) -> str:
        calls = sys._getframe(1).f_code.co_name == _ON_CALL
        eagerly = [step.passes_over(calls) for step in _active if _concerns(step)]
        return EAGER if any(eagerly) else self.before.stance

    def __getattr__(self, name: str) -> Any:
        return getattr(self.before, name)


def _concerns(step: EagerStep) -> bool:
    if step.thread == threading.get_ident() or step in _of_context.get():
        return True
    return sys.modules["torch"]._C._current_graph_task_id() != -1


def _install() -> bool:
    """Put our stance over the one that is set; whether that could be done."""
    frames = sys.modules["torch._dynamo"].eval_frame
    try:
        if not isinstance(frames._stance, _Stance):  # as after a stance of the user's that outlasted a step
            frames._set_stance(_Stance(frames._stance))
    except (AttributeError, RuntimeError):  # another torch; called from compiled code, which cannot be left midway
        return False
    return True


def _uninstall() -> None:
    """Put back the stance from before, unless another one was set meanwhile.

    Who set that one in a ``with`` block puts ours back at its end, which then says what the one before it does.
    """
    frames = sys.modules["torch._dynamo"].eval_frame
    if isinstance(frames._stance, _Stance):
        with suppress(RuntimeError):  # called from compiled code
            frames._set_stance(frames._stance.before)


def _after_fork_in_child() -> None:
    """No step goes on in the child."""
    global _lock, _active
    _lock = threading.RLock()
    if _active:
        _active = ()
        _uninstall()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
