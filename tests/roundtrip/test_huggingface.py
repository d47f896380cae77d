"""Ten architectures from torch through `.kx` to NumPy, torch and ONNX Runtime: same names, bytes, values, gradients."""

from __future__ import annotations

import copy
import warnings
from functools import cache

import pytest

import kxchange as kx
from kxchange.passes.retype import retype
from kxchange.types import DType

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")
from zoo_hf import ZOO  # noqa: E402

from kxchange_torch.float64 import WidenedFloats, widened  # noqa: E402
from kxchange_torch.modes_in import evaluation_mode  # noqa: E402
from kxchange_torch.private import leaves_with_path  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.onnx, pytest.mark.hf]
TEN = ["bert", "gpt2", "llama", "t5", "vit", "resnet", "convnext", "whisper", "mamba", "clip"]


@cache
def captured(name):
    warnings.simplefilter("ignore")
    entry = ZOO[name]()
    return entry, kx.capture(entry.module, dynamic=entry.dynamic, **entry.inputs, **entry.options)


@pytest.mark.parametrize("name", TEN)
def test_same_everywhere_after_saving(name, tmp_path):
    _, model = captured(name)
    kx.save(model, tmp_path / "net.kx")
    loaded = kx.load(tmp_path / "net.kx")
    loaded.origin = model.origin
    report = kx.validate(loaded, backends=["numpy", "torch", "onnx"], cases=4, processes=False)
    assert report.ok, report
    assert all(row.function.value == "SAME" for row in report.rows), report


@pytest.mark.parametrize("name", TEN)
def test_the_state_dict_is_the_originals(name):
    entry, model = captured(name)
    rebuilt = model.to("torch")
    original, ours = entry.module.state_dict(), rebuilt.state_dict()
    assert list(original) == list(ours)
    for key, tensor in original.items():
        assert torch.equal(tensor, ours[key]), key
        assert tensor.dtype == ours[key].dtype, key
    rebuilt.load_state_dict(original, strict=True)
    entry.module.load_state_dict(ours, strict=True)
    trainable = {n for n, p in entry.module.named_parameters() if p.requires_grad}
    assert {n for n, p in rebuilt.named_parameters() if p.requires_grad} == trainable


def float64_gradients(module, call):
    module.zero_grad()
    outputs = call(module)
    leaves = [leaf for _, leaf in leaves_with_path(outputs) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    generator = torch.Generator().manual_seed(1)
    loss = sum((leaf * torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)).sum() for leaf in leaves)
    loss.backward()
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", TEN)
def test_gradients_are_the_originals(name):
    entry, model = captured(name)
    source = copy.deepcopy(entry.module)._apply(widened)
    inputs = {key: widened(tensor) for key, tensor in entry.inputs.items()}
    with evaluation_mode(source), WidenedFloats():
        right = float64_gradients(source, lambda m: m(**inputs, **entry.options))
    found = float64_gradients(retype(model, DType.FLOAT64).to("torch"), lambda m: m(**inputs))
    scale = max(gradient.norm() for gradient in right.values())
    assert right.keys() == found.keys()
    for key, gradient in right.items():
        assert (gradient - found[key]).norm() <= 1e-10 * scale, key
