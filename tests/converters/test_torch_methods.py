"""Several methods of one module as functions of one model; caches as inputs and outputs; greedy decoding with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import CaptureError, InputError  # noqa: E402

TOKENS = 32


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 8))
        self.register_buffer("shift", torch.randn(4))

    def encode(self, x: Any) -> Any:
        return torch.relu((x + self.shift) @ self.table) + torch.tensor([1.0, 2.0, 3.0, 4.0] * 2)

    def decode(self, z: Any, scale: Any) -> Any:
        return z @ self.table.T * scale + torch.tensor([5.0, 6.0, 7.0, 8.0])


def test_methods_become_functions_over_the_same_parameters(tmp_path: Any) -> None:
    module = Autoencoder()
    x, z, scale = torch.randn(3, 4), torch.randn(3, 8), torch.randn(4)
    dynamic = {"decode": {"z": ("rows", None), "scale": (None,)}}
    model = kx.capture(module, methods={"encode": (x,), "decode": {"z": z, "scale": scale}}, dynamic=dynamic)
    assert list(model.functions) == ["encode", "decode"] and model.dims == ("batch", "rows")
    assert [name for name in model.parameters if name in module.state_dict()] == list(module.state_dict())
    kx.save(model, tmp_path / "m.kx")
    for found in (model, kx.load(tmp_path / "m.kx")):
        built = found.to("torch")
        built.load_state_dict(module.state_dict(), strict=True)
        for rows in (1, 5):
            x, z = torch.randn(rows, 4), torch.randn(rows, 8)
            calls = {"encode": {"x": x}, "decode": {"z": z, "scale": scale}}
            for name, inputs in calls.items():
                want = getattr(module, name)(**inputs).detach().numpy()
                for backend in ("numpy", "onnx"):
                    arrays = {key: value.numpy() for key, value in inputs.items()}
                    (got,) = kx.run(found, arrays, backend=backend, function=name).values()
                    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
                np.testing.assert_allclose(built.kx_call(name, **inputs).detach().numpy(), want, rtol=1e-5, atol=1e-5)
    report = kx.validate(model, backends=["torch"], function="decode", processes=False)
    assert report.ok, report


def test_a_wrong_methods_argument_is_named() -> None:
    with pytest.raises(CaptureError, match="methods= for a module"):
        kx.capture(torch.relu, methods={"f": (torch.ones(2),)}, x=torch.ones(2))
    with pytest.raises(CaptureError, match=r"by function name \(encode\), not \['decode'\]"):
        kx.capture(Autoencoder(), methods={"encode": (torch.ones(2, 4),)}, dynamic={"decode": {}})


def test_different_weights_under_one_name_are_not_joined() -> None:
    one, two = (kx.capture(nn.Linear(2, 3), torch.ones(4, 2)) for _ in range(2))
    with pytest.raises(InputError, match="'weight'"):
        kx.join({"a": one, "b": two})
    assert list(kx.join({"a": one, "b": one}).functions) == ["a", "b"]


@dataclass
class Memory:
    """A class that torch knows nothing of."""

    seen: Any
    label: str = "memory"


@dataclass
class Counted:
    seen: Any
    length: int


class Remembers(nn.Module):
    def forward(self, x: Any, memory: Any) -> Any:
        seen = torch.cat([memory.seen["values"], x], 1)
        return {"total": seen.sum(1), "memory": Memory({"values": seen}, memory.label)}


def test_objects_with_tensors_inside_go_in_and_out() -> None:
    module, x = Remembers(), torch.randn(2, 3)
    memory = Memory({"values": torch.randn(2, 5)})
    before = memory.seen["values"].clone()
    dynamic = {"x": ("batch", "new"), "memory": ("batch", "old")}
    model = kx.capture(module, x, memory, dynamic=dynamic)
    assert model.input_names == ("x", "memory.seen.values")
    assert model.output_names == ("total", "memory.seen.values")
    assert str(model.main.graph.outputs[1].type) == "float32[batch, new+old]"
    assert torch.equal(memory.seen["values"], before)
    other = Memory({"values": torch.randn(3, 2)})
    got = kx.run(model, {"x": np.ones((3, 4), np.float32), "memory.seen.values": other.seen["values"].numpy()})
    want = module(torch.ones(3, 4), other)
    np.testing.assert_allclose(got["total"], want["total"].numpy(), rtol=1e-5)
    np.testing.assert_array_equal(got["memory.seen.values"], want["memory"].seen["values"].numpy())


def test_an_object_that_counts_a_symbolic_size_is_refused() -> None:
    class Counts(nn.Module):
        def forward(self, x: Any, memory: Any) -> Any:
            return x + memory.length

    memory = Counted(torch.randn(2, 5), 5)
    with pytest.raises(CaptureError, match=r"memory\.length for a constant, and it is 5.*'old'"):
        kx.capture(Counts(), x=torch.randn(2, 3), memory=memory, dynamic={"memory": ("batch", "old")})


def greedy(runners: Any, ids: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Tokens by `prefill` once and `decode` for each further one; `names` are the caches."""
    outputs = runners["prefill"]({"input_ids": ids})
    tokens = [outputs["logits"][:, -1].argmax(-1)]
    while len(tokens) < TOKENS:
        cache = {name: outputs[name] for name in names}
        outputs = runners["decode"]({"input_ids": tokens[-1][:, None].astype(np.int64), **cache})
        tokens.append(outputs["logits"][:, -1].argmax(-1))
    return tokens


@pytest.mark.hf
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_greedy_decoding_with_a_cache_is_token_identical(name: str) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("onnxruntime")
    from tests.zoo_hf import ZOO

    module = ZOO[name]().module
    ids = torch.randint(1, 99, (2, 5), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        past = module(input_ids=ids, use_cache=True).past_key_values
    model = kx.capture(
        module,
        methods={
            "prefill": {"input_ids": ids, "use_cache": True},
            "decode": {"input_ids": ids[:, :1], "past_key_values": past, "use_cache": True},
        },
        dynamic={
            "prefill": {"input_ids": ("batch", "seq")},
            "decode": {"input_ids": ("batch", None), "past_key_values": ("batch", None, "past", None)},
        },
    )
    caches = [name for name in model.functions["decode"].input_names if name != "input_ids"]
    assert len(caches) == 4 and all(name in model.functions["prefill"].output_names for name in caches)
    prompt = torch.randint(1, 99, (3, 7), generator=torch.Generator().manual_seed(4))
    sequence, want = prompt, []
    with torch.no_grad():
        for _ in range(TOKENS):  # the original, without any cache
            want.append(module(input_ids=sequence, use_cache=False).logits[:, -1].argmax(-1))
            sequence = torch.cat([sequence, want[-1][:, None]], 1)
    from kxchange.converter import converter

    for backend in ("numpy", "torch", "onnx"):
        runners = {part: converter(backend).prepare(model, function=part) for part in model.functions}
        got = greedy(runners, prompt.numpy(), caches)
        np.testing.assert_array_equal(np.stack(got), torch.stack(want).numpy(), err_msg=backend)
