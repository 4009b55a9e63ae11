"""The scenarios: faults that were put in by hand, and healthy runs that look suspicious."""

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .networks import Residual, Task, cnn, mlp, regression, residual, rnn, transformer
from .training import Plan, choice

Scenario = Callable[[random.Random], Plan]
DIVERGED = frozenset(("exploding_gradients", "lr_too_high", "nonfinite_values", "loss_spike"))
_STILL = frozenset(("no_learning", "stagnant_layers", "activation_collapse", "lr_too_low"))
_FOLLOWS = frozenset(("no_learning", "activation_collapse", "plateau", "overfitting_onset"))


def _rises(losses: list[float], _: list[float]) -> bool:
    broken = not all(math.isfinite(loss) for loss in losses)
    return broken or sorted(losses[-20:])[10] > 1.3 * sorted(losses[:5])[2]


def _explodes(losses: list[float], _: list[float]) -> bool:
    return not all(map(math.isfinite, losses)) or max(losses) > 3 * losses[0]


def _flat(losses: list[float], _: list[float]) -> bool:
    """After the first steps, in which the last layer learns the frequencies of the classes, nothing is learned."""
    late, early = sorted(losses[-40:])[20], sorted(losses[20:60])[20]
    return all(map(math.isfinite, losses)) and late > 0.97 * early and late > 0.75 * sorted(losses[:5])[2]


def _no_good(losses: list[float], validation: list[float]) -> bool:
    return _rises(losses, validation) or sorted(losses[-20:])[10] > 0.9 * losses[0]


# Faults


def rate_far_too_high(rng: random.Random) -> Plan:
    """Plain gradient descent with a learning rate that makes the loss grow."""
    task = rng.choice((regression, mlp, cnn))(rng)
    return Plan(task, lr=choice(rng, 3, 30), kind="sgd", expected=DIVERGED, accepted=_FOLLOWS | {"stagnant_layers"},
                manifest=_rises)  # fmt: skip


def rate_raised_midway(rng: random.Random) -> Plan:
    """A good learning rate that is multiplied by thousands."""
    at = rng.randrange(80, 150)
    times = choice(rng, 300, 3000)
    return Plan(
        rng.choice((mlp, rnn, transformer))(rng), lr=3e-3, expected=DIVERGED, accepted=_FOLLOWS | {"stagnant_layers"},
        onset=at, schedule=lambda step: times if step >= at else 1.0,
        manifest=lambda losses, _: not math.isfinite(losses[-1]) or sorted(losses[-20:])[10] > 2 * min(losses[:at]),
    )  # fmt: skip


def recurrent_explosion(rng: random.Random) -> Plan:
    """A plain RNN with large recurrent weights and no clipping."""
    task = rnn(rng, kind="rnn", length=30)
    task.model.cell.nonlinearity = "relu"
    cell = nn.RNN(6, 24, batch_first=True, nonlinearity="relu")
    with torch.no_grad():
        cell.weight_hh_l0.mul_(choice(rng, 3.5, 6.0))
    task.model.cell, task.model.head = cell, nn.Linear(24, 6)
    return Plan(task, lr=choice(rng, 0.01, 0.05), kind="sgd", expected=DIVERGED,
                accepted=_FOLLOWS | {"stagnant_layers", "vanishing_gradients"},
                manifest=_explodes)  # fmt: skip


def vanishing_sigmoids(rng: random.Random) -> Plan:
    """A deep network of sigmoids."""
    task = mlp(rng, depth=rng.choice((8, 10, 12)), activation=nn.Sigmoid)
    return Plan(task, lr=choice(rng, 0.03, 0.3), kind=rng.choice(("sgd", "plain")), manifest=_flat,
                expected=frozenset(("vanishing_gradients",)),
                accepted=_STILL)  # fmt: skip


def vanishing_small_init(rng: random.Random) -> Plan:
    """A deep network of tanh whose weights start too small."""
    task = mlp(rng, depth=rng.choice((6, 8)), activation=nn.Tanh)
    scale = choice(rng, 0.05, 0.2)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.mul_(scale)
    return Plan(task, lr=choice(rng, 0.01, 0.05), kind="plain", manifest=_flat,
                expected=frozenset(("vanishing_gradients",)),
                accepted=_STILL)  # fmt: skip


def left_out_of_the_optimizer(rng: random.Random) -> Plan:
    """A layer whose parameters the optimizer does not hold."""
    task = mlp(rng, depth=3)
    linear = [module for module in task.model if isinstance(module, nn.Linear)]
    left = rng.choice(linear[1:])
    held = [p for p in task.model.parameters() if all(p is not q for q in left.parameters())]
    return Plan(task, optimizer=torch.optim.AdamW(held, lr=3e-3), expected=frozenset(("parameters_not_optimized",)),
                accepted=frozenset(("stagnant_layers",)))  # fmt: skip


class Cut(nn.Module):
    """Passes its input on and cuts the graph."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        return inputs.detach()


class Mute(nn.Module):
    """Multiplies what a branch computes by zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Any shape that ends with the width."""
        return inputs + 0.0 * self.inner(inputs)


def detached(rng: random.Random) -> Plan:
    """Layers below a detach()."""
    task = mlp(rng, depth=4, width=48)
    parts = list(task.model)
    at = rng.choice((4, 6))
    task.model = nn.Sequential(*parts[:at], Cut(), *parts[at:])
    return Plan(task, expected=frozenset(("stagnant_layers",)))


def muted(rng: random.Random) -> Plan:
    """A branch that is multiplied by zero."""
    task = mlp(rng, depth=3, width=48)
    parts = list(task.model)
    task.model = nn.Sequential(*parts[:2], Mute(48), *parts[2:])
    return Plan(task, kind=rng.choice(("plain", "sgd")), lr=0.05, expected=frozenset(("stagnant_layers",)))


def group_with_a_tiny_rate(rng: random.Random) -> Plan:
    """A parameter group whose learning rate is a million times too small."""
    task = mlp(rng, depth=3)
    linear = [module for module in task.model if isinstance(module, nn.Linear)]
    slow = rng.choice(linear[:3])
    rest = [p for p in task.model.parameters() if all(p is not q for q in slow.parameters())]
    groups = [{"params": rest, "lr": 3e-3}, {"params": list(slow.parameters()), "lr": 1e-9, "weight_decay": 0.0}]
    return Plan(task, optimizer=torch.optim.AdamW(groups), expected=frozenset(("stagnant_layers",)))


def dead_units(rng: random.Random) -> Plan:
    """ReLUs whose biases start far below zero."""
    task = mlp(rng, depth=3)
    linear = [module for module in task.model if isinstance(module, nn.Linear)]
    with torch.no_grad():
        rng.choice(linear[:3]).bias.fill_(-choice(rng, 8, 40))
    return Plan(task, lr=1e-3, expected=frozenset(("activation_collapse",)),
                accepted=frozenset(("stagnant_layers", "no_learning", "vanishing_gradients")))  # fmt: skip


def units_that_die(rng: random.Random) -> Plan:
    """One enormous step kills the units of a network that was learning."""
    at = rng.randrange(60, 120)
    task = mlp(rng, depth=3)

    def shock(step: int, model: nn.Module) -> None:
        if step == at:
            with torch.no_grad():
                for module in model:
                    if isinstance(module, nn.Linear) and module.out_features == module.weight.shape[0]:
                        module.bias.sub_(30.0)

    return Plan(task, lr=1e-3, onset=at, before_step=shock, expected=frozenset(("activation_collapse",)),
                accepted=DIVERGED | _FOLLOWS | {"stagnant_layers", "vanishing_gradients"})  # fmt: skip


def saturated(rng: random.Random) -> Plan:
    """Tanh units whose weights start far too large."""
    task = mlp(rng, depth=3, activation=rng.choice((nn.Tanh, nn.Sigmoid)))
    with torch.no_grad():
        for module in task.model:
            if isinstance(module, nn.Linear):
                module.weight.mul_(choice(rng, 100, 300))
    return Plan(task, lr=1e-3, expected=frozenset(("activation_collapse",)),
                accepted=DIVERGED | frozenset(("stagnant_layers", "no_learning", "vanishing_gradients")))  # fmt: skip


def _overfits(_: list[float], validation: list[float]) -> bool:
    best = min(validation)
    return validation[-1] > 1.3 * best and validation.index(best) < len(validation) - 4


def overfitting(rng: random.Random) -> Plan:
    """A large network and a handful of samples."""
    task = mlp(rng, depth=3, width=96, pool=rng.choice((48, 64, 96)), hard=True)
    return Plan(task, lr=choice(rng, 1e-3, 3e-3), steps=500, evaluate=10, expected=frozenset(("overfitting_onset",)),
                manifest=_overfits)  # fmt: skip


def overfitting_images(rng: random.Random) -> Plan:
    """A convolutional network and a handful of noisy images."""
    task = cnn(rng, pool=rng.choice((48, 64)), norm=False, noise=3.0)
    return Plan(task, lr=3e-3, steps=400, evaluate=10, expected=frozenset(("overfitting_onset",)), manifest=_overfits)


def broken_sample(rng: random.Random) -> Plan:
    """A NaN in the input of one batch."""
    at = rng.randrange(60, 180)

    def spoil(step: int, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        if step == at:
            inputs = inputs.clone()
            inputs[0] = float("nan")
        return inputs, targets

    return Plan(rng.choice((mlp, cnn, regression))(rng), onset=at, change_batch=spoil,
                expected=frozenset(("nonfinite_values",)),
                accepted=frozenset(("stagnant_layers", "no_learning")))  # fmt: skip


def corrupt_batch(rng: random.Random) -> Plan:
    """One batch whose inputs are scaled by hundreds."""
    at = rng.randrange(80, 180)
    times = choice(rng, 20, 100)
    return Plan(
        rng.choice((mlp, regression))(rng), lr=1e-3, onset=at, accepted=DIVERGED,
        expected=frozenset(("loss_spike", "exploding_gradients")),
        change_batch=lambda step, x, y: (x * times, y[torch.randperm(len(y))]) if step == at else (x, y),
        manifest=lambda losses, _: losses[at] > 3 * max(losses[at - 20 : at]) and losses[at] > 0.4 * losses[0],
    )  # fmt: skip


def rate_too_low(rng: random.Random) -> Plan:
    """A learning rate that is thousands of times too small."""
    task = rng.choice((mlp, cnn, rnn, transformer))(rng)
    return Plan(task, lr=choice(rng, 1e-9, 1e-7), expected=frozenset(("lr_too_low",)),
                accepted=frozenset(("no_learning",)), manifest=_flat)  # fmt: skip


def rate_too_high_for_adam(rng: random.Random) -> Plan:
    """A learning rate with which the loss never falls."""
    task = rng.choice((transformer, rnn, mlp))(rng)
    return Plan(task, lr=choice(rng, 1.0, 10.0), expected=DIVERGED,
                accepted=_FOLLOWS | {"stagnant_layers", "vanishing_gradients"}, manifest=_no_good)  # fmt: skip


def shuffled_labels(rng: random.Random) -> Plan:
    """Targets that have nothing to do with the inputs."""
    return Plan(
        rng.choice((mlp, cnn, transformer))(rng), steps=350, lr=choice(rng, 3e-4, 3e-3),
        expected=frozenset(("no_learning",)), change_batch=lambda _, x, y: (x, y[torch.randperm(len(y))]),
        manifest=_flat,
    )  # fmt: skip


def statistics_of_other_data(rng: random.Random) -> Plan:
    """Batch normalization that keeps the running statistics of a data set of another scale."""
    task = rng.choice((lambda own: mlp(own, norm=True, depth=2), cnn))(rng)
    scale = rng.choice((1.0, -1.0)) * rng.uniform(4.0, 6.0)
    for module in task.model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 0.0
            module.running_var.fill_(math.exp(scale))
    return Plan(
        task, lr=3e-3, steps=300, evaluate=10, train_eval=True, expected=frozenset(("train_eval_mismatch",)),
        accepted=frozenset(("overfitting_onset",)),
        manifest=lambda losses, validation: min(validation[-10:]) > 2 * sorted(losses[-100:])[50],
    )  # fmt: skip


FAULTS: tuple[Scenario, ...] = (
    rate_far_too_high, rate_raised_midway, recurrent_explosion, vanishing_sigmoids, vanishing_small_init,
    left_out_of_the_optimizer, detached, muted, group_with_a_tiny_rate, dead_units, units_that_die, saturated,
    overfitting, overfitting_images, broken_sample, corrupt_batch, rate_too_low, rate_too_high_for_adam,
    shuffled_labels, statistics_of_other_data,
)  # fmt: skip


# Healthy runs


def _plain(build: Callable[..., Task], **options: Any) -> Scenario:
    def scenario(rng: random.Random) -> Plan:
        kind = rng.choice(("adam", "adam", "sgd"))
        lr = choice(rng, 1e-3, 5e-3) if kind == "adam" else choice(rng, 0.01, 0.05)
        return Plan(build(rng, **options), lr=lr, kind=kind, evaluate=20, every=rng.choice((1, 5, 10)))

    scenario.__name__ = f"plain_{build.__name__}" + "".join(f"_{name}" for name in options)
    return scenario


def _scaled(build: Callable[..., Task], times: float, name: str) -> Scenario:
    def scenario(rng: random.Random) -> Plan:
        return Plan(build(rng), change_loss=lambda loss: loss * times, evaluate=20)

    scenario.__name__ = name
    return scenario


def sum_loss(rng: random.Random) -> Plan:
    """The loss is summed over the batch."""
    task = mlp(rng)
    task.loss = lambda outputs, targets: nn.functional.cross_entropy(outputs, targets, reduction="sum")
    return Plan(task, lr=choice(rng, 1e-3, 3e-3), kind="plain", evaluate=20)


def warm_restarts(rng: random.Random) -> Plan:
    """A cosine schedule that starts again every 60 steps."""
    return Plan(rng.choice((mlp, cnn, residual))(rng), lr=5e-3, evaluate=20, steps=300,
                schedule=lambda step: 0.02 + 0.5 * (1 + math.cos(math.pi * (step % 60) / 60)))  # fmt: skip


def warm_up(rng: random.Random) -> Plan:
    """A learning rate that rises from zero over 100 steps."""
    return Plan(rng.choice((transformer, residual, mlp))(rng), lr=5e-3, evaluate=20, steps=350,
                schedule=lambda step: min(1.0, (step + 1) / 100))  # fmt: skip


def converged(rng: random.Random) -> Plan:
    """An easy task that is solved early and goes on."""
    task = mlp(rng, depth=2, width=64)
    return Plan(task, lr=1e-2, steps=500, evaluate=25, every=10)


def fine_tuning(rng: random.Random) -> Plan:
    """A network that starts from a trained one, at a low loss that still falls."""
    task = mlp(rng)
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    for _ in range(rng.choice((15, 30))):
        inputs, targets = task.batch(64, False)
        optimizer.zero_grad()
        task.loss(task.model(inputs), targets).backward()
        optimizer.step()
    return Plan(task, lr=1e-3, evaluate=20)


def frozen_layers(rng: random.Random) -> Plan:
    """The first layers are frozen on purpose."""
    task = mlp(rng, depth=4)
    for parameter in list(task.model.parameters())[:4]:
        parameter.requires_grad_(False)
    held: Any = task.model.parameters() if rng.random() < 0.5 else [
        p for p in task.model.parameters() if p.requires_grad
    ]  # fmt: skip
    return Plan(task, optimizer=torch.optim.AdamW(held, lr=3e-3), evaluate=20)


def clipped(rng: random.Random) -> Plan:
    """Gradients are clipped in every step."""
    return Plan(rnn(rng), clip=0.5, lr=5e-3, evaluate=20)


def small_batches(rng: random.Random) -> Plan:
    """Four samples a batch: a very noisy loss."""
    return Plan(rng.choice((mlp, regression))(rng), batch=4, lr=1e-3, steps=500, evaluate=25)


def noisy_validation(rng: random.Random) -> Plan:
    """Dropout, and a training loss above validation."""
    return Plan(mlp(rng, dropout=0.5, width=64), lr=2e-3, evaluate=10, steps=400, train_eval=True)


def two_modes(rng: random.Random) -> Plan:
    """Batch normalization whose running statistics follow the batches, judged in eval mode too."""
    task = rng.choice((lambda own: mlp(own, norm=True), cnn))(rng)
    return Plan(task, lr=choice(rng, 1e-3, 5e-3), evaluate=10, steps=300, train_eval=True)


def enough_data(rng: random.Random) -> Plan:
    """A finite training set that is large enough: a gap that stays."""
    return Plan(mlp(rng, pool=2000), lr=1e-3, evaluate=20, steps=400, kind="adam")


def metrics_only(rng: random.Random) -> Plan:
    """Nothing but two losses, under other names."""
    train, validation = rng.choice((("loss", "val_loss"), ("train_loss", "eval/loss"), ("loss/train", "loss/val")))
    return Plan(rng.choice((mlp, cnn, transformer))(rng), watched=False, evaluate=20, train_key=train,
                validation_key=validation)  # fmt: skip


def negative_loss(rng: random.Random) -> Plan:
    """A likelihood of a density: the loss crosses zero."""
    task = regression(rng, scale=0.2)
    task.loss = lambda outputs, targets: 0.5 * torch.log((outputs - targets).square().mean() + 1e-4) - 0.5
    return Plan(task, lr=1e-3, evaluate=20)


def deep_residual(rng: random.Random) -> Plan:
    """Many residual branches that start at zero, probed in every step."""
    task = residual(rng)
    width = task.model[0].out_features
    task.model = nn.Sequential(task.model[0], *(Residual(width, zero=True) for _ in range(8)), task.model[-1])
    return Plan(task, every=1, evaluate=20, steps=150, lr=2e-3)


HEALTHY: tuple[Scenario, ...] = (
    *(_plain(build) for build in (mlp, cnn, rnn, residual, transformer, regression)),
    _plain(mlp, norm=True), _plain(mlp, dropout=0.3), _plain(transformer, dropout=0.1), _plain(mlp, hard=True),
    _scaled(mlp, 1e4, "huge_loss"), _scaled(cnn, 1e-4, "tiny_loss"), _scaled(regression, 1e6, "enormous_loss"),
    sum_loss, warm_restarts, warm_up, converged, fine_tuning, frozen_layers, clipped, small_batches, noisy_validation,
    two_modes, enough_data, metrics_only, negative_loss, deep_residual,
)  # fmt: skip
