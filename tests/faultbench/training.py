"""Trains a scenario and records it as any user would: start_run, watch, log; nothing else is known to the rules."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import quark

from .networks import Task


@dataclass
class Plan:
    """One training run.

    Attributes:
        task: network and data.
        optimizer: made of the parameters if it is left out.
        expected: rules of which at least one must speak; empty for a healthy run.
        accepted: further rules that tell the truth about the fault.
        onset: step at which the fault begins.
        before_step, change_batch, change_loss, after_backward: where faults are put in.
        manifest: by hindsight, whether the fault came about; told the losses and validation losses.
        watched: whether layers and parameters are recorded.
        train_eval: whether a loss of training data in eval mode is logged beside every validation loss.
    """

    task: Task
    lr: float = 3e-3
    kind: str = "adam"
    optimizer: torch.optim.Optimizer | None = None
    steps: int = 250
    batch: int = 32
    every: int = 5
    evaluate: int = 0
    clip: float | None = None
    expected: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()
    onset: int = 0
    schedule: Callable[[int], float] | None = None
    before_step: Callable[[int, nn.Module], None] | None = None
    change_batch: Callable[[int, torch.Tensor, torch.Tensor], Any] | None = None
    change_loss: Callable[[torch.Tensor], torch.Tensor] | None = None
    after_backward: Callable[[int, nn.Module], None] | None = None
    manifest: Callable[[list[float], list[float]], bool] | None = None
    watched: bool = True
    train_eval: bool = False
    train_key: str = "train/loss"
    validation_key: str = "val/loss"


@dataclass
class Outcome:
    """What a run recorded, and what hindsight says of it."""

    run_id: str
    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)


def optimizer_of(plan: Plan, parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """The plan's optimizer."""
    if plan.kind == "sgd":
        return torch.optim.SGD(parameters, lr=plan.lr, momentum=0.9)
    if plan.kind == "plain":
        return torch.optim.SGD(parameters, lr=plan.lr)
    return torch.optim.AdamW(parameters, lr=plan.lr)


def train(plan: Plan, storage_dir: Path) -> Outcome:
    """Train as planned and record it."""
    model = plan.task.model
    optimizer = plan.optimizer or optimizer_of(plan, model.parameters())
    with quark.start_run(project="faultbench", storage_dir=storage_dir) as run:
        outcome = Outcome(run.run_id)
        if plan.watched:
            run.watch(model, optimizer, every=plan.every)
        for step in run.steps(range(plan.steps), progress=False):
            if plan.schedule is not None:
                for group in optimizer.param_groups:
                    group["lr"] = plan.lr * plan.schedule(step)
                run.log({"train/lr": plan.lr * plan.schedule(step)})
            loss = _step(plan, model, optimizer, step)
            outcome.losses.append(loss)
            run.log({plan.train_key: loss})
            if plan.evaluate and step % plan.evaluate == plan.evaluate - 1:
                outcome.validation.append(_evaluate(plan, model))
                run.log({plan.validation_key: outcome.validation[-1]})
                if plan.train_eval:
                    run.log({"train_eval/loss": _evaluate(plan, model, held_out=False)})
    return outcome


def _step(plan: Plan, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> float:
    if plan.before_step is not None:
        plan.before_step(step, model)
    inputs, targets = plan.task.batch(plan.batch, False)
    if plan.change_batch is not None:
        inputs, targets = plan.change_batch(step, inputs, targets)
    optimizer.zero_grad()
    loss = plan.task.loss(model(inputs), targets)
    if plan.change_loss is not None:
        loss = plan.change_loss(loss)
    loss.backward()
    if plan.after_backward is not None:
        plan.after_backward(step, model)
    if plan.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    optimizer.step()
    return loss.item()


def _evaluate(plan: Plan, model: nn.Module, *, held_out: bool = True) -> float:
    model.eval()
    with torch.no_grad():
        inputs, targets = plan.task.batch(plan.batch, held_out)
        loss = plan.task.loss(model(inputs), targets)
        if plan.change_loss is not None:
            loss = plan.change_loss(loss)
    model.train()
    return loss.item()


def came_about(plan: Plan, outcome: Outcome) -> bool:
    """By hindsight: a faulty run has its fault, and a healthy one learns and stays finite."""
    if plan.manifest is not None:
        return plan.manifest(outcome.losses, outcome.validation)
    if plan.expected:
        return True
    losses = outcome.losses
    if not all(math.isfinite(loss) for loss in losses):
        return False
    first, last = sorted(losses[:5])[2], sorted(losses[-20:])[10]
    return last < 0.85 * first if first > 0 else last < first


def choice(rng: random.Random, low: float, high: float) -> float:
    """A factor between two, on a logarithmic scale."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
