"""The two networks, of the nodes that docs/design/integer-only.md lists and no others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10


class ConvNorm(nn.Module):
    """A 3 x 3 convolution, batch normalisation and, where asked for, a ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x


class Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class FashionCnn(nn.Module):
    """A small residual network: 28 x 28, then 14 x 14, then 7 x 7 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(1, 32),
            ConvNorm(32, 64, stride=2),
            Residual(64),
            ConvNorm(64, 96, stride=2),
            Residual(96),
        )
        self.head = nn.Linear(96, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


class Attention(nn.Module):
    """Multi-head self-attention; q, k and v side by side in one linear layer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: on a CPU the backward pass of the fused operation takes half of a training step.
        mixed = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v
        return self.projection(mixed.transpose(1, 2).reshape(n, tokens, dim))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class FashionVit(nn.Module):
    """A DeiT-style vision transformer whose 49 patches come from three convolutions."""

    def __init__(self, dim: int = 96, depth: int = 4, heads: int = 3, mlp_ratio: int = 2) -> None:
        super().__init__()
        self.embed = nn.Sequential(ConvNorm(1, 32), ConvNorm(32, 64, stride=2), ConvNorm(64, dim, stride=2))
        self.class_token = nn.Parameter(torch.randn(1, dim) * 0.02)
        self.position = nn.Parameter(torch.randn(50, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio * dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), 1, -1), patches], dim=1) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens[:, 0]))
