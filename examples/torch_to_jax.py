"""A trained PyTorch classifier in JAX: convert, prove, compare the accuracy, take one step of training."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import torch
from safetensors.torch import load_file

import kxchange as kx

HERE = Path(__file__).parent / "digits"
sys.path.insert(0, str(HERE))

from data import load  # noqa: E402
from models import ConvolutionalNetwork  # noqa: E402


def main() -> int:
    net = ConvolutionalNetwork()
    net.load_state_dict(load_file(HERE / "convolutional.safetensors"))
    model = kx.capture(net.eval(), torch.rand(2, 1, 8, 8))
    report = kx.validate(model, backends=["jax"])
    print(report)

    _, images, _, labels = load()
    built = model.to("jax")
    logits = jax.jit(built.apply)(built.params, images)
    print(f"accuracy in JAX on {len(images)} unseen images: {float((logits.argmax(axis=1) == labels).mean()):.4f}")

    def loss(params):
        scores = jax.nn.log_softmax(built.apply(params, images[:32]))
        return -jnp.take_along_axis(scores, labels[:32, None], axis=1).mean()

    before, gradients = jax.value_and_grad(loss)(built.params)
    after = loss(jax.tree.map(lambda value, slope: value - 0.001 * slope, built.params, gradients))
    print(f"loss before and after one step: {before:.6f}, {after:.6f}")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
