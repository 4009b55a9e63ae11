"""While a step is probed compiled code runs eagerly: in its thread, until it ends, and the user's stance comes back."""

import os
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
import torch
from torch import nn

import quark
from quark import HookEngine, LayerSummaryRecord
from quark.producers.hooks.eager import EagerStep
from quark.testing import MemoryRunHandle

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),  # torch's
]
Run = MemoryRunHandle


@pytest.fixture(autouse=True)
def _usual_stance() -> Iterator[None]:
    """No graph of another test and the usual stance, before and after."""
    torch._dynamo.reset()
    before = torch._dynamo.eval_frame._stance
    yield
    torch._dynamo.reset()
    left, torch._dynamo.eval_frame._stance = torch._dynamo.eval_frame._stance, before
    assert left is before


class Compiled:
    """A compiled function that knows how often it was compiled and how often it ran eagerly."""

    def __init__(self) -> None:
        self.compiled = self.eager = 0
        self.call: Callable[[torch.Tensor], torch.Tensor] = torch.compile(
            self._code(), backend=self._backend, fullgraph=True
        )

    def _backend(self, graph: Any, inputs: Any) -> Any:
        self.compiled += 1
        return graph.forward

    def _code(self) -> Callable[[torch.Tensor], torch.Tensor]:
        def double(x: torch.Tensor) -> torch.Tensor:
            if not torch.compiler.is_compiling():
                self.eager += 1
            return x * 2

        return double

    def is_eager(self) -> bool:
        """Whether a call runs eagerly now."""
        before = self.eager
        self.call(torch.ones(1))
        return self.eager > before


def stance() -> str:
    return torch._dynamo.eval_frame._stance.stance


def test_a_step_and_what_comes_after() -> None:
    """Compiled code runs eagerly within the step, compiled after it; it is compiled once."""
    code, step = Compiled(), EagerStep()
    assert not code.is_eager()
    step.begin()
    assert code.is_eager()
    step.end()
    step.end()
    assert not code.is_eager()
    assert code.compiled == 1


def test_overlapping_steps() -> None:
    """Two watchers that are not done at the same time: eagerly until the last one is."""
    code, first, second = Compiled(), EagerStep(), EagerStep()
    first.begin()
    second.begin()
    first.end()
    assert code.is_eager()
    second.end()
    assert not code.is_eager()


@pytest.mark.parametrize("own", ["eager_on_recompile", "fail_on_recompile", "force_eager"])
def test_the_stance_of_the_user_comes_back(own: str) -> None:
    """What the user had set is set again after the step."""
    step = EagerStep()
    with torch.compiler.set_stance(own):
        step.begin()
        assert stance() == "force_eager"
        step.end()
        assert stance() == own


def test_a_stance_that_the_user_sets_within_the_step() -> None:
    """It counts for as long as it is set; one that outlasts the step leaves nothing of the step behind."""
    step = EagerStep()
    step.begin()
    with torch.compiler.set_stance("fail_on_recompile"):
        assert stance() == "fail_on_recompile"
        step.end()
        assert stance() == "fail_on_recompile"
    assert stance() == "default"
    step.begin()
    assert stance() == "force_eager"
    step.end()
    assert stance() == "default"


def test_a_stance_of_the_user_that_ends_within_the_step() -> None:
    """The end of the step leaves what is set then."""
    step = EagerStep()
    with torch.compiler.set_stance("eager_on_recompile"):
        step.begin()
    step.end()
    assert stance() == "default"


def in_thread(act: Callable[[], Any], *, context: bool = False) -> Any:
    """What ``act`` returns in another thread, in a copy of this context or in none."""
    found: list[Any] = []
    run = copy_context().run if context else lambda call: call()
    thread = threading.Thread(target=lambda: run(lambda: found.append(act())))
    thread.start()
    thread.join()
    return found[0]


def test_other_threads() -> None:
    """A thread of its own goes on with compiled code, one that works for the step (asyncio.to_thread) does not."""
    code, step = Compiled(), EagerStep()
    step.begin()
    assert not in_thread(code.is_eager)
    assert in_thread(code.is_eager, context=True)
    in_thread(step.end)
    assert not code.is_eager()


def test_the_end_within_a_call_in_another_thread() -> None:
    """A call with fullgraph=True that runs while the step of another thread ends is none that compiled nothing."""
    entered, ended = threading.Event(), threading.Event()
    step = EagerStep()

    def body(x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            entered.set()
            ended.wait(60)
        return x * 2

    call = torch.compile(body, backend="eager", fullgraph=True)
    step.begin()
    thread = threading.Thread(target=lambda: (entered.wait(60), step.ease(), ended.set()))
    thread.start()
    assert call(torch.ones(1)) == 2
    thread.join()
    assert not step.over
    assert call(torch.ones(1)) == 2
    assert step.over
    step.end()


def test_easing_where_no_compiled_code_runs() -> None:
    """There is nothing to leave a step to."""
    step = EagerStep()
    step.begin()
    assert not step.ease()
    step.end()


def test_within_compiled_code() -> None:
    """A step that begins or ends while compiled code is being run harms nothing and leaves the usual stance."""
    begun, ended, code = EagerStep(), EagerStep(), Compiled()

    def body(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        begun.begin()
        ended.end()
        return x * 2

    call = torch.compile(body, backend="eager")
    assert call(torch.ones(1)) == 2
    assert not code.is_eager()
    ended.begin()
    assert call(torch.ones(1)) == 2
    assert code.is_eager()  # begun by a call that ran eagerly
    begun.end()
    assert not code.is_eager()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_within_a_step() -> None:
    """The child has the usual stance; the step of the parent goes on."""
    code, step = Compiled(), EagerStep()
    step.begin()
    child = os.fork()
    if child == 0:
        os._exit(stance() != "default")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert code.is_eager()
    step.end()


# Every way out of a probed step


def leave_by_exception(hooks: HookEngine, run: Run) -> None:
    with pytest.raises(ZeroDivisionError), hooks.step(0):
        raise ZeroDivisionError


def leave_by_discard(hooks: HookEngine, run: Run) -> None:
    hooks.begin_step(0)
    hooks.discard()


def leave_by_close(hooks: HookEngine, run: Run) -> None:
    hooks.begin_step(0)
    hooks.close()


def leave_by_the_end_of_the_run(hooks: HookEngine, run: Run) -> None:
    hooks.begin_step(0)
    run.close()


def leave_by_the_next_step(hooks: HookEngine, run: Run) -> None:
    hooks.await_step(0)
    hooks.begin_step(1)
    hooks.end_step()


@pytest.mark.parametrize(
    "leave",
    [leave_by_exception, leave_by_discard, leave_by_close, leave_by_the_end_of_the_run, leave_by_the_next_step],
)
def test_every_way_out_of_a_step(leave: Callable[[HookEngine, Run], None]) -> None:
    """However a probed step ends, compiled code runs compiled afterwards."""
    run, code = Run(), Compiled()
    leave(HookEngine(run, nn.Linear(1, 1)), run)
    assert not code.is_eager()
    run.close()


def test_a_loop_of_a_run(tmp_path: Any) -> None:
    """``run.watch`` and ``run.steps``: eagerly in the probed steps, also where the loop is left within one."""
    model, code, eager = nn.Linear(3, 1), Compiled(), []
    call = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="compiled", storage_dir=tmp_path, analyze=False) as run:
        hooks = run.watch(model, optimizer, every=2)
        for step in run.steps(range(9)):
            call(torch.ones(2, 3)).sum().backward()
            optimizer.step()
            eager.append(code.is_eager())
            if step == 2:
                break
        assert not code.is_eager()
        found = {(record.step, record.module_name) for record in hooks.read()}
    assert eager == [True, False, True]
    assert found == {(0, "(model)"), (2, "(model)")}


def test_a_step_that_is_named_afterwards() -> None:
    """The step that is awaited is seen through compiled code as well, and is forgotten without a trace."""
    run, model = Run(), nn.Linear(3, 1)
    call = torch.compile(model, backend="eager")
    with HookEngine(run, model) as hooks:
        hooks.await_step(4)
        call(torch.ones(2, 3)).sum().backward()
        hooks.end_step()
        assert {record.step for record in run.records(LayerSummaryRecord)} == {4}
        hooks.await_step(5)
        hooks.discard()
    run.close()
