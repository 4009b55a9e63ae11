"""Small networks and their data, drawn anew for every seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Task:
    """A network, its loss, and data to draw batches from.

    Attributes:
        batch: makes a batch of so many samples; ``held_out`` asks for data that are never trained on.
        loss: of outputs and targets.
    """

    model: nn.Module
    batch: Callable[[int, bool], Batch]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _clusters(features: int, classes: int, spread: float) -> Callable[[int], Batch]:
    centres = torch.randn(classes, features)

    def draw(size: int) -> Batch:
        labels = torch.randint(0, classes, (size,))
        return centres[labels] + spread * torch.randn(size, features), labels

    return draw


def _teacher(features: int, classes: int) -> Callable[[int], Batch]:
    teacher = nn.Sequential(nn.Linear(features, 32), nn.Tanh(), nn.Linear(32, classes))
    for parameter in teacher.parameters():
        parameter.requires_grad_(False).mul_(2.0)

    def draw(size: int) -> Batch:
        inputs = torch.randn(size, features)
        return inputs, teacher(inputs).argmax(1)

    return draw


def _pool(draw: Callable[[int], Batch], size: int | None) -> Callable[[int, bool], Batch]:
    """Batches of a finite training set, or fresh ones for ever."""
    pool = draw(size) if size else None
    held = draw(256)

    def batch(count: int, held_out: bool) -> Batch:
        if held_out:
            return held
        if pool is None:
            return draw(count)
        chosen = torch.randint(0, len(pool[1]), (count,))
        return pool[0][chosen], pool[1][chosen]

    return batch


def mlp(
    rng: random.Random, *, depth: int | None = None, width: int | None = None, activation: type[nn.Module] = nn.ReLU,
    norm: bool = False, dropout: float = 0.0, pool: int | None = None, hard: bool = False,
) -> Task:  # fmt: skip
    """A multilayer perceptron that tells clusters apart, or learns from a teacher (``hard``)."""
    depth, width = depth or rng.choice((2, 3, 4)), width or rng.choice((32, 48, 64))
    features, classes = rng.choice((12, 20)), rng.choice((4, 6, 10))
    draw = _teacher(features, classes) if hard else _clusters(features, classes, rng.uniform(0.8, 1.5))
    parts: list[nn.Module] = []
    last = features
    for _ in range(depth):
        parts.append(nn.Linear(last, width))
        if norm:
            parts.append(nn.BatchNorm1d(width))
        parts.append(activation())
        if dropout:
            parts.append(nn.Dropout(dropout))
        last = width
    parts.append(nn.Linear(last, classes))
    return Task(nn.Sequential(*parts), _pool(draw, pool), nn.functional.cross_entropy)


def cnn(rng: random.Random, *, norm: bool = True, pool: int | None = None, noise: float = 1.5) -> Task:
    """A small convolutional network for patterns in noise."""
    classes, width = rng.choice((4, 6)), rng.choice((8, 12))
    patterns = torch.randn(classes, 1, 8, 8)

    def draw(size: int) -> Batch:
        labels = torch.randint(0, classes, (size,))
        return patterns[labels] + noise * torch.randn(size, 1, 8, 8), labels

    def block(inside: int, outside: int) -> list[nn.Module]:
        middle = [nn.BatchNorm2d(outside)] if norm else []
        return [nn.Conv2d(inside, outside, 3, padding=1), *middle, nn.ReLU(), nn.MaxPool2d(2)]

    model = nn.Sequential(*block(1, width), *block(width, 2 * width), nn.Flatten(), nn.Linear(8 * width, classes))
    return Task(model, _pool(draw, pool), nn.functional.cross_entropy)


class Recurrent(nn.Module):
    """An LSTM or a plain RNN with a linear head on its last output."""

    def __init__(self, features: int, width: int, classes: int, kind: str) -> None:
        super().__init__()
        self.cell = (nn.LSTM if kind == "lstm" else nn.RNN)(features, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs of shape (batch, time, features)."""
        return self.head(self.cell(inputs)[0][:, -1])


def rnn(rng: random.Random, *, kind: str = "lstm", length: int | None = None) -> Task:
    """A recurrent network that tells from the sum of a sequence which feature was largest."""
    features, width = 6, rng.choice((24, 32))
    steps = length or rng.choice((8, 12))

    def draw(size: int) -> Batch:
        inputs = torch.randn(size, steps, features)
        return inputs, inputs.sum(1).argmax(1)

    return Task(Recurrent(features, width, features, kind), _pool(draw, None), nn.functional.cross_entropy)


class Residual(nn.Module):
    """A residual branch whose last layer may start at zero."""

    def __init__(self, width: int, *, zero: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.act, self.down = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        if zero:
            nn.init.zeros_(self.down.weight)
            nn.init.zeros_(self.down.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Any shape that ends with the width."""
        return inputs + self.down(self.act(self.up(self.norm(inputs))))


def residual(rng: random.Random, *, zero: bool = True) -> Task:
    """A residual network, with branches that start at zero."""
    features, width, classes = 16, rng.choice((32, 48)), rng.choice((4, 8))
    blocks = [Residual(width, zero=zero) for _ in range(rng.choice((3, 5)))]
    model = nn.Sequential(nn.Linear(features, width), *blocks, nn.Linear(width, classes))
    return Task(model, _pool(_clusters(features, classes, 1.2), None), nn.functional.cross_entropy)


class Tokens(nn.Module):
    """A transformer over tokens that predicts the class of a sequence."""

    def __init__(self, vocabulary: int, width: int, layers: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        block = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens of shape (batch, time)."""
        return self.head(self.blocks(self.embedding(tokens)).mean(1))


def transformer(rng: random.Random, *, dropout: float = 0.0) -> Task:
    """A small transformer that counts which of some marked tokens is the most frequent."""
    vocabulary, classes, steps = rng.choice((30, 200)), 4, 12

    def draw(size: int) -> Batch:
        labels = torch.randint(0, classes, (size,))
        tokens = torch.randint(classes, vocabulary, (size, steps))
        marked = torch.rand(size, steps) < 0.35
        return torch.where(marked, labels[:, None].expand(-1, steps), tokens), labels

    model = Tokens(vocabulary, rng.choice((16, 32)), 2, classes, dropout)
    return Task(model, _pool(draw, None), nn.functional.cross_entropy)


def regression(rng: random.Random, *, scale: float = 1.0) -> Task:
    """A perceptron that learns a smooth function, with targets of any scale."""
    features, width = rng.choice((4, 8)), rng.choice((32, 64))
    direction = torch.randn(features)

    def draw(size: int) -> Batch:
        inputs = torch.randn(size, features)
        return inputs, scale * torch.sin(inputs @ direction)[:, None] + scale * inputs[:, :1]

    model = nn.Sequential(
        nn.Linear(features, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    )
    return Task(model, _pool(draw, None), nn.functional.mse_loss)


TASKS: tuple[Callable[[random.Random], Task], ...] = (mlp, cnn, rnn, residual, transformer, regression)
