"""Train the demo's models and write their weights: `python examples/digits/train.py`. Takes about a minute."""

from __future__ import annotations

from pathlib import Path

import torch
from data import load
from models import MODELS
from safetensors.torch import save_file
from torch.nn import functional

EPOCHS = 60
BATCH = 64


def train(name: str) -> None:
    """Train one model and save its `state_dict`."""
    torch.manual_seed(0)
    train_images, test_images, train_labels, test_labels = (torch.from_numpy(array) for array in load())
    model = MODELS[name]()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(train_images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(train_images))[: len(train_images) // BATCH * BATCH]
        for batch in order.split(BATCH):
            loss = functional.cross_entropy(model(train_images[batch]), train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
    save_file(model.state_dict(), Path(__file__).parent / f"{name}.safetensors")
    print(f"{name}: test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    for model_name in MODELS:
        train(model_name)
