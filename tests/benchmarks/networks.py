"""The networks that the benchmarks of hooks watch: a CNN with 40 layers and a transformer of 4 blocks, in two sizes."""

from typing import Any

import torch
from torch import nn


def cnn(width: int) -> tuple[nn.Module, Any, Any]:
    """13 blocks (convolution, norm, ReLU) and a linear layer: 40 layers, the first blocks ``width`` channels wide.

    Images of 16 x 16, 32 a batch.
    """
    layers: list[nn.Module] = []
    before = 3
    for index, size in enumerate([width] * 4 + [2 * width] * 5 + [4 * width] * 4):
        stride = 2 if index in (4, 9) else 1
        layers += [nn.Conv2d(before, size, 3, stride, 1, bias=False), nn.BatchNorm2d(size), nn.ReLU(inplace=True)]
        before = size
    model = nn.Sequential(*layers, Pooled(before))
    return model, torch.randn(32, 3, 16, 16), torch.randint(0, 10, (32,))


class Pooled(nn.Module):
    """Mean over the image, then a linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(images.mean(dim=(2, 3)))


class Block(nn.Module):
    """Attention and a feed-forward part, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.act, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(self.act(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A causal language model."""

    def __init__(self, width: int, blocks: int = 4, words: int = 256) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.embed(words)))).flatten(0, 1)


def transformer(width: int) -> tuple[nn.Module, Any, Any]:
    """4 blocks, 31 layers; 8 sequences of 64 words."""
    words = torch.randint(0, 256, (8, 65))
    return Transformer(width), words[:, :-1], words[:, 1:].flatten()
