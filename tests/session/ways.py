"""Every way out of every host: a run is recorded for a few steps and left in the way that is asked for.

As a script: ``ways.py HOST WAY STORE DIARY``.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import quark

STEPS = 3
LAST_OF_BODY = 1


class Diary(quark.TrackerBase):
    """Writes a line whenever it is told of the end."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_stop(self, final_state: Any, reason: str) -> None:
        with Path(self.path).open("a") as file:
            file.write(f"{reason} {None if final_state is None else final_state.step}\n")


def act(way: str, step: int, run: Any, stop: Any) -> bool:
    """What the body of the loop does in a step; True: leave the loop."""
    if step != LAST_OF_BODY:
        return False
    if way == "stop()":
        stop()
    elif way == "stop request":
        run.stop_reason = "stop_requested"
        run.stop()
    elif way in ("exception", "exception caught outside"):
        raise ValueError("the body failed")
    elif way == "Ctrl-C":
        signal.raise_signal(signal.SIGINT)
    elif way == "sys.exit":
        sys.exit(3)
    elif way == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    elif way == "kill -9":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "cancellation":
        task = asyncio.current_task()
        if task is not None:
            task.cancel()
    return way == "break"


async def batches() -> AsyncIterator[int]:
    for step in range(STEPS):
        yield step


def start(store: str, diary: str) -> quark.TrainingSession:
    return quark.start_run(project="ways", storage_dir=store, trackers=[Diary(diary)])


def bare(way: str, store: str, diary: str) -> None:
    """start_run, a loop of one's own, the end of the process."""
    run = start(store, diary)
    for step in range(STEPS):
        run.step(step, {"loss": 1.0})
        if act(way, step, run, run.stop):
            break


def with_session(way: str, store: str, diary: str) -> None:
    """with start_run, a loop of one's own."""
    with start(store, diary) as run:
        for step in range(STEPS):
            run.step(step, {"loss": 1.0})
            if act(way, step, run, run.stop):
                break


def steps(way: str, store: str, diary: str) -> None:
    """with start_run, for ... in run.steps."""
    with start(store, diary) as run:
        if way == "iterator dropped":
            iterator = iter(run.steps(range(STEPS)))
            next(iterator), next(iterator)
            del iterator
            return
        for step in run.steps(range(STEPS)):
            if act(way, step, run, run.stop):
                break
            if way == "return" and step == LAST_OF_BODY:
                return


async def asteps(way: str, store: str, diary: str) -> None:
    """with start_run, async for ... in run.asteps."""
    with start(store, diary) as run:
        if way == "iterator dropped":
            iterator = aiter(run.asteps(batches()))
            await anext(iterator)
            await anext(iterator)
            del iterator
            return
        async for step in run.asteps(batches()):
            if act(way, step, run, run.stop):
                break
            if way == "return" and step == LAST_OF_BODY:
                return
            await asyncio.sleep(0)


def declare(way: str, store: str, diary: str, *, asynchronous: bool = False) -> quark.Loop:
    """A loop of two tasks whose goal is reached in the second step, or never."""
    loop = quark.Loop(project="ways", storage_dir=store, trackers=[Diary(diary)])

    def work(step: int) -> dict[str, float]:
        if way == "task raises" and step == 1:
            raise ValueError("the task failed")
        if way == "first task raises":
            raise ValueError("the first task failed")
        return {"loss": 1.0 / (step + 1)}

    async def work_later(step: int) -> dict[str, float]:
        await asyncio.sleep(0)
        return work(step)

    loop.task("work")(work_later if asynchronous else work)
    loop.criterion(metric="loss", threshold=0.6 if way == "criterion met" else 0.0)
    if way == "start refused":
        loop.add_tracker(object())
        loop.start(max_steps=0)
    return loop


def loop_with(way: str, store: str, diary: str) -> None:
    """with loop.start() as steps, for ... in steps."""
    loop = declare(way, store, diary)
    with loop.start(max_steps=STEPS) as states:
        if way == "never iterated":
            return
        for state in states:
            if act(way, state.step, loop.run, loop.stop):
                break
            if way == "return":
                return
            if way == "started twice":
                refused(loop)
    if way == "started twice":
        refused(loop)


def loop_for(way: str, store: str, diary: str) -> None:
    """for ... in loop.start()."""
    loop = declare(way, store, diary)
    if way in ("never iterated", "iterator dropped"):
        iterator = iter(loop.start(max_steps=STEPS))
        if way == "iterator dropped":
            next(iterator)
        del iterator
        return
    for state in loop.start(max_steps=STEPS):
        if act(way, state.step, loop.run, loop.stop):
            break
        if way == "return":
            return
        if way == "started twice":
            refused(loop)


async def loop_async_with(way: str, store: str, diary: str) -> None:
    """async with loop.start() as steps, async for ... in steps."""
    loop = declare(way, store, diary, asynchronous=True)
    async with loop.start(max_steps=STEPS) as states:
        if way == "never iterated":
            return
        async for state in states:
            if act(way, state.step, loop.run, loop.stop):
                break
            if way == "return":
                return
            if way == "started twice":
                refused(loop)
            await asyncio.sleep(0)


async def loop_async_for(way: str, store: str, diary: str) -> None:
    """async for ... in loop.start()."""
    loop = declare(way, store, diary, asynchronous=True)
    if way in ("never iterated", "iterator dropped"):
        iterator = aiter(loop.start(max_steps=STEPS))
        if way == "iterator dropped":
            await anext(iterator)
        del iterator
        return
    async for state in loop.start(max_steps=STEPS):
        if act(way, state.step, loop.run, loop.stop):
            break
        if way == "return":
            return
        if way == "started twice":
            refused(loop)
        await asyncio.sleep(0)


def loop_workers(way: str, store: str, diary: str) -> None:
    """with loop.start() of two workers."""
    loop = declare_workers(way, store, diary)
    with loop.start(max_steps=STEPS) as states:
        if way == "never iterated":
            return
        for state in states:
            if state.worker_id == 0 and act(way, state.step, loop.run, loop.stop):
                break
            if way == "return":
                return
            if way == "started twice":
                refused(loop)


def declare_workers(way: str, store: str, diary: str) -> quark.Loop:
    loop = quark.Loop(project="ways", storage_dir=store, trackers=[Diary(diary)], workers=2)
    plain = declare("", store, diary)

    @loop.task("work")
    def work(step: int, worker_id: int) -> Any:
        if way == "first task raises" or (way == "task raises" and step == 1 and worker_id == 1):
            raise ValueError("the task failed")
        return plain.tasks["work"].function(step)

    loop.criterion(metric="loss", threshold=0.6 if way == "criterion met" else 0.0)
    if way == "start refused":
        loop.add_tracker(object())
        loop.start(max_steps=0)
    return loop


def refused(loop: quark.Loop) -> None:
    """A second start is refused and changes nothing."""
    try:
        loop.start()
    except quark.InvalidRunStateError:
        return
    raise AssertionError("the second start was not refused")


def lightning(way: str, store: str, diary: str) -> None:
    """Trainer(callbacks=[QuarkCallback()]).fit."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own
        fit(way, store, diary)


def fit(way: str, store: str, diary: str) -> None:
    import lightning.pytorch as pl
    import torch
    from lightning.pytorch.callbacks import EarlyStopping

    from quark_integrations.callbacks.lightning import QuarkCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(1, 1)

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            act(way, self.global_step, quark.current_run(), lambda: setattr(self.trainer, "should_stop", True))
            loss = self.net(batch).square().mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callbacks: list[Any] = [QuarkCallback("ways", storage_dir=store, trackers=[Diary(diary)])]
    if way == "criterion met":
        callbacks.append(EarlyStopping("loss", stopping_threshold=1e9, check_on_train_epoch_end=True))
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=False, callbacks=callbacks,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=store,
    )  # fmt: skip
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(STEPS, 1)))  # type: ignore[arg-type]


def transformers(way: str, store: str, diary: str) -> None:
    """Trainer(callbacks=[QuarkCallback()]).train; the body is a callback of the user, the task is the model."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Transformers' own
        train(way, store, diary)


def train(way: str, store: str, diary: str) -> None:
    import torch
    from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

    from quark_integrations.callbacks.transformers import QuarkCallback

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(1, 1)

        def forward(self, x: torch.Tensor, return_loss: bool = True) -> dict[str, torch.Tensor]:
            if way == "first task raises" or (way == "task raises" and trainer.state.global_step == 1):
                raise ValueError("the model failed")
            return {"loss": self.net(x).square().mean()}

    class Body(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            act(way, state.global_step - 1, quark.current_run(), lambda: setattr(control, "should_training_stop", True))

    callbacks: list[Any] = [Body(), QuarkCallback("ways", storage_dir=store, trackers=[Diary(diary)])]
    options: dict[str, Any] = {}
    if way == "criterion met":
        callbacks.append(EarlyStoppingCallback(1, early_stopping_threshold=1e9))
        options = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "loss"}
    data: Any = [{"x": torch.ones(1)}] * STEPS
    arguments = TrainingArguments(
        f"{store}-out", num_train_epochs=2, per_device_train_batch_size=1, use_cpu=True, disable_tqdm=True,
        save_strategy="no", report_to="none", prediction_loss_only=True, **options,
    )  # fmt: skip
    trainer = Trainer(Model(), arguments, train_dataset=data, eval_dataset=data, callbacks=callbacks)
    trainer.train()


HOSTS = {
    "session": bare, "with session": with_session, "steps": steps, "asteps": asteps, "Loop, with": loop_with,
    "Loop, for": loop_for, "Loop, async with": loop_async_with, "Loop, async for": loop_async_for,
    "Loop, with, 2 workers": loop_workers, "Lightning": lightning, "Transformers": transformers,
}  # fmt: skip


def play(host: str, way: str, store: str, diary: str) -> None:
    """Record in a host and leave it."""
    function = HOSTS[host]
    try:
        if asyncio.iscoroutinefunction(function):
            asyncio.run(function(way, store, diary))
        else:
            function(way, store, diary)
    except ValueError:
        if way != "exception caught outside":
            raise
    except asyncio.CancelledError:
        pass


if __name__ == "__main__":
    play(*sys.argv[1:5])
