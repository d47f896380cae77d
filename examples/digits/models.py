"""The demo's two classifiers of 8x8 digit images: a small convolutional network and a small transformer."""

from __future__ import annotations

import torch
from torch import nn


class ConvolutionalNetwork(nn.Module):
    """Two convolutions with batch norm, then a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(128, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``[batch, 10]`` of images ``[batch, 1, 8, 8]`` with values from 0 to 1."""
        return self.head(self.dropout(self.features(image).flatten(1)))


class Transformer(nn.Module):
    """Every row of the image is a token; two encoder layers; the mean token is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.positions = nn.Parameter(torch.zeros(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``[batch, 10]`` of images ``[batch, 1, 8, 8]`` with values from 0 to 1."""
        tokens = self.embed(image.squeeze(1)) + self.positions
        return self.head(self.norm(self.encoder(tokens)).mean(dim=1))


MODELS: dict[str, type[nn.Module]] = {"convolutional": ConvolutionalNetwork, "transformer": Transformer}
