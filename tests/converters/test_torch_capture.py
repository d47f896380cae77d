"""Capture of small modules, one per trap: every expected value is torch's own, every trap fails without its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

from kxchange import reference  # noqa: E402
from kxchange.errors import CaptureError, UnsupportedOpError  # noqa: E402
from kxchange.model import Model, Role  # noqa: E402
from kxchange_torch.capture import capture  # noqa: E402


def evaluate(model: Model, *inputs: torch.Tensor) -> list[np.ndarray]:
    parameters = {name: model.array(name) for name in model.parameters}
    return list(reference.evaluate(model.main.graph, [x.detach().numpy() for x in inputs], parameters))


def assert_same(module: Any, model: Model, *inputs: torch.Tensor, tolerance: float = 1e-6) -> None:
    """The captured model gives what the source gives, on clones, so that neither sees the other's writes."""
    expected = module(*[x.clone() for x in inputs])
    expected = expected if isinstance(expected, tuple) else (expected,)
    for got, want in zip(evaluate(model, *inputs), expected, strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=tolerance, atol=tolerance)


def ops_of(model: Model) -> list[str]:
    return [node.op for node in model.main.graph.nodes() if node.op not in ("parameter", "input")]


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def test_the_batch_is_symbolic_by_default() -> None:
    module = Linear()
    model = capture(module, torch.randn(3, 4))
    assert model.dims == ("batch",)
    assert ops_of(model) == ["linear"]
    for batch in (1, 2, 7):
        assert_same(module, model, torch.randn(batch, 4))


@pytest.mark.parametrize("batch", [0, 1])
def test_an_example_of_size_0_or_1_does_not_fix_the_dim(batch: int) -> None:
    module = Linear()
    model = capture(module, torch.randn(batch, 4))
    assert str(model.main.graph.inputs[0].type) == "float32[batch, 4]"
    assert_same(module, model, torch.randn(5, 4))


def test_inputs_of_other_batch_sizes_have_names_of_their_own() -> None:
    def function(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return x @ table.T

    model = capture(function, torch.randn(3, 4), torch.randn(5, 4))
    assert model.dims == ("batch", "batch_table")
    assert_same(function, model, torch.randn(2, 4), torch.randn(7, 4), tolerance=1e-5)


def test_one_name_is_one_symbol_and_expressions_are_checked() -> None:
    def function(ids: torch.Tensor, past: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.cat([past, ids], 1) * mask + torch.arange(mask.shape[1])

    examples = torch.randn(2, 3), torch.randn(2, 5), torch.ones(2, 8)
    dynamic = {"ids": ("batch", "seq"), "past": ("batch", "past"), "mask": ("batch", "past+seq")}
    model = capture(function, *examples, dynamic=dynamic)
    assert model.dims == ("batch", "seq", "past")
    assert str(model.main.graph.inputs[2].type) == "float32[batch, past+seq]"
    assert str(model.main.graph.outputs[0].type) == "float32[batch, past+seq]"
    assert not model.constraints
    assert_same(function, model, torch.randn(1, 1), torch.randn(1, 4), torch.rand(1, 5))


def test_a_torch_dim_keeps_its_name_and_range() -> None:
    batch = torch.export.Dim("rows", min=2, max=64)
    model = capture(Linear(), torch.randn(3, 4), dynamic={"x": {0: batch}})
    assert model.dims == ("rows",)
    assert {str(c).partition(" (")[0] for c in model.constraints} == {"64 >= rows", "rows >= 2"}


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        ({"y": ("batch",)}, "names the input 'y'"),
        ({"x": ("batch",)}, "1 dims .* shape \\(3, 4\\)"),
        ({"x": {5: "batch"}}, "axis 5 of input 'x'"),
        ({"x": ("n", "n")}, "the dim 'n' is 3 at axis 0 of 'x' and 4 at axis 1 of 'x'"),
        ({"x": ("2 batch", None)}, "axis 0 of input 'x'"),
        ({"x": ("a+b", None)}, "cannot tell the size of 'a'"),
        ({"x": (4, None)}, "says axis 0 of input 'x' is 4; the example has 3"),
    ],
)
def test_a_wrong_dynamic_is_named(dynamic: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        capture(Linear(), torch.randn(3, 4), dynamic=dynamic)


def test_a_baked_batch_is_an_error_with_its_line() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return sum(x[i] for i in range(x.shape[0]))  # pyright: ignore[reportReturnType]

    line = function.__code__.co_firstlineno + 1
    with pytest.raises(CaptureError, match=f"'batch' .axis 0 of 'x'. became 4 at test_torch_capture.py:{line}"):
        capture(function, torch.randn(4, 8))
    model = capture(function, torch.randn(4, 8), allow_specialised=True)
    assert model.dims == ()
    assert model.provenance["specialised"] == {"batch": 4}
    assert capture(function, torch.randn(4, 8), dynamic=False).dims == ()


def test_a_constant_of_the_examples_size_is_an_error() -> None:
    with pytest.raises(CaptureError, match="'batch'"):
        capture(lambda x: x + torch.zeros(4, 8), torch.randn(4, 8))


def test_a_branch_on_a_size_becomes_a_constraint_with_its_line() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 3:
            return x + 1
        return x

    model = capture(function, torch.randn(5, 2))
    line = function.__code__.co_firstlineno + 1
    assert [str(c) for c in model.constraints] == [f"batch >= 4 (branch taken at test_torch_capture.py:{line})"]


def test_a_range_that_only_the_tracer_needs_is_none() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch, seq, width = x.shape
        windows = x.reshape(batch, seq // 4, 4, width).transpose(1, 2).reshape(batch, seq, width)
        return windows, x[:, :20]

    model = capture(function, torch.randn(2, 8, 3), dynamic={"x": ("batch", "seq", None)})
    assert not model.constraints
    assert {str(c).partition(" (")[0] for _, c in model.main.node_constraints()} == {
        "4 divides seq",
        "4*(seq//4) == seq",
    }
    for batch, seq in ((1, 4), (3, 24)):
        assert_same(function, model, torch.randn(batch, seq, 3))


def test_autocast_casts_are_explicit() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (x @ x.T).float()

    model = capture(function, torch.randn(3, 4))
    assert "astype" in ops_of(model)
    assert_same(function, model, torch.eye(2, 4))


def test_the_other_side_of_an_inequality_is_excluded() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] == 4 else x

    model = capture(function, torch.randn(7, 2))
    assert any(not c.holds({"batch": 4}) for c in model.constraints)
    assert all(c.holds({"batch": 7}) for c in model.constraints)


def test_a_branch_on_size_1_is_excluded_only_where_it_matters() -> None:
    def matters(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] == 1 else x

    def harmless(x: torch.Tensor) -> torch.Tensor:
        return x.squeeze(0).unsqueeze(0) + 1 if x.shape[0] == 1 else x + 1

    line = matters.__code__.co_firstlineno + 1
    model = capture(matters, torch.randn(3, 2))
    expected = f"batch >= 2 (another branch is taken for size 1 at test_torch_capture.py:{line})"
    assert [str(c) for c in model.constraints] == [expected]
    assert not capture(harmless, torch.randn(3, 2)).constraints


def test_a_branch_on_size_1_that_shows_only_for_some_values_is_excluded() -> None:
    """Flags of ones hide that the branch drops them (as in Mamba 2 of transformers)."""

    def function(x: torch.Tensor, flags: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.shape[1] == 1 else (x + 1) * flags

    dynamic = {"x": ("batch", "seq"), "flags": ("batch", "seq")}
    for ones in (torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.bool)):
        model = capture(function, torch.randn(2, 5), ones, dynamic=dynamic)
        assert [str(c).partition(" (")[0] for c in model.constraints] == ["seq >= 2"]


def test_a_branch_that_only_several_sizes_of_1_take_is_excluded() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[1] == 1 and x.shape[0] == 1 else x

    model = capture(function, torch.randn(3, 5), dynamic={"x": ("batch", "seq")})
    assert not all(c.holds({"batch": 1, "seq": 1}) for c in model.constraints)
    assert all(c.holds({"batch": 3, "seq": 2}) for c in model.constraints)


def test_probing_a_branch_leaves_the_modules_buffers_alone() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return x * 2 if x.shape[0] == 1 else x

    module = Counts()
    assert len(capture(module, torch.randn(3, 5)).constraints) == 1
    assert module.calls == 0


def test_a_dim_may_be_a_multiple_of_a_name() -> None:
    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(x, 4)

    model = capture(Halves(), torch.randn(2, 3, 8, 12), dynamic={"x": ("batch", None, "4*h", "4*w")})
    assert str(model.main.graph.inputs[0].type) == "float32[batch, 3, 4*h, 4*w]"
    assert str(model.main.graph.outputs[0].type) == "float32[batch, 3, h, w]"
    assert_same(Halves(), model, torch.randn(1, 3, 4, 20))
    with pytest.raises(CaptureError, match="axis 2 of the example for 'x' is 9"):
        capture(Halves(), torch.randn(2, 3, 9, 12), dynamic={"x": ("batch", None, "4*h", "4*w")})


@pytest.mark.parametrize("form", ["reshape", "expand"])
def test_a_size_that_the_data_decides_is_a_blocker_with_its_line(form: str) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        size = x.shape[0] * x.max().long().item()
        return x.reshape(size, -1) if form == "reshape" else x.reshape(-1, 1).expand(-1, size)

    line = function.__code__.co_firstlineno + 2
    with pytest.raises((UnsupportedOpError, CaptureError), match=f"test_torch_capture.py:{line}"):
        capture(function, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (lambda x: x if x.sum() > 0 else -x, r"torch\.where"),
        (lambda x: torch.from_numpy(x.numpy() * 2), "NumPy cannot be traced"),
        (lambda x: torch.zeros(int(x[0, 0].item())) + x.sum(), "A size that depends on values"),
    ],
)
def test_what_torch_refuses_has_a_line_and_the_usual_rewrite(function: Any, advice: str) -> None:
    line = function.__code__.co_firstlineno
    with pytest.raises(CaptureError, match=f"test_torch_capture.py:{line}: .*{advice}"):
        capture(function, torch.ones(2, 3))


def test_writes_through_views_are_functionalised() -> None:
    class Writes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 1.5
            y[:, 1:3] *= 2
            y.view(-1).mul_(3)
            y[:, 0] = 7
            return y

    module = Writes()
    assert_same(module, capture(module, torch.randn(3, 4)), torch.randn(2, 4))


def test_a_write_to_a_fresh_value_rebinds_without_a_second_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(program: Any) -> Any:
        raise AssertionError("functionalised")

    monkeypatch.setattr("kxchange_torch.program_in.functionalise", never)

    def function(x: torch.Tensor) -> torch.Tensor:
        return (x + 1).relu_().mul_(2).add_(x)

    assert_same(function, capture(function, torch.randn(3, 4)), torch.randn(2, 4))


def test_a_written_buffer_and_a_written_input_become_states() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            x.add_(1)
            return x * self.calls

    model = capture(Counter(), torch.randn(3, 4))
    assert model.main.updates == {"calls.next": "calls", "x.next": "x"}
    x = torch.ones(2, 4)
    outputs = dict(zip(model.output_names, evaluate(model, x), strict=True))
    np.testing.assert_array_equal(outputs["x.next"], np.full((2, 4), 2.0, np.float32))
    np.testing.assert_array_equal(outputs["calls.next"], np.float32(1))
    np.testing.assert_array_equal(x.numpy(), np.ones((2, 4), np.float32))


def test_parameters_keep_names_order_roles_ties_and_memory() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(6, 4)
            self.unused = nn.Linear(4, 4)
            self.norm = nn.BatchNorm1d(4)
            self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)
            self.offset = torch.tensor([1.0, 2.0, 3.0, 4.0])
            self.head = nn.Linear(4, 6, bias=False)
            self.head.weight = self.embedding.weight
            self.unused.weight.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.norm(self.embedding(x)) * self.scale + self.offset)

    module = Tied().eval()
    model = capture(module, torch.tensor([1, 2, 3]))
    state = module.state_dict()
    kept = [p.name for p in model.parameters.values() if p.role in (Role.PARAMETER, Role.BUFFER)]
    assert kept == list(state)
    assert all(np.array_equal(model.array(name), tensor.numpy()) for name, tensor in state.items())
    assert model.parameters["head.weight"].alias_of == "embedding.weight"
    assert model.parameters["scale"].role is Role.CONSTANT
    assert model.parameters["offset"].role is Role.CONSTANT
    assert model.parameters["norm.num_batches_tracked"].role is Role.BUFFER
    assert not model.parameters["unused.weight"].trainable
    assert model.parameters["unused.bias"].trainable
    assert np.shares_memory(model.array("embedding.weight"), module.embedding.weight.detach().numpy())
    assert_same(module, model, torch.tensor([5, 0]))


def test_bfloat16_parameters_keep_their_bits() -> None:
    module = Linear().bfloat16()
    array = capture(module, torch.randn(3, 4, dtype=torch.bfloat16)).array("fc.weight")
    assert array.dtype.name == "bfloat16"
    assert array.tobytes() == module.fc.weight.detach().view(torch.int16).numpy().tobytes()


def test_a_copied_weight_is_refused() -> None:
    class Copied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)
            self.frozen = self.fc.weight.detach().clone()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x) + x @ self.frozen.T

    with pytest.raises(CaptureError, match=r"'frozen'.*'fc\.weight'"):
        capture(Copied(), torch.randn(3, 4))


def test_modes_are_restored_per_submodule() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    module.train()
    module[2].eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    model = capture(module, torch.randn(3, 4))
    assert [m.training for m in module.modules()] == [True, True, True, False]
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert ops_of(model) == ["linear", "batch_norm"]
    with pytest.raises(CaptureError):
        capture(module, torch.randn(3, 5))
    assert [m.training for m in module.modules()] == [True, True, True, False]


def test_dropout_is_kept_for_training_on_request() -> None:
    model = capture(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.25)), torch.randn(3, 4), training=True)
    assert ops_of(model) == ["linear", "dropout"]
    assert model.main.graph.outputs[0].node.attrs == {"rate": 0.25}


def test_all_blockers_come_at_once_with_their_lines() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.dropout(x, 0.5)
        y = y + torch.rand_like(x)
        return torch.linalg.eig(y @ y.T)[0].real + torch.rand_like(x).sum()

    first = function.__code__.co_firstlineno
    with pytest.raises(UnsupportedOpError) as caught:
        capture(function, torch.randn(5, 4))
    blockers = {blocker.op: blocker for blocker in caught.value.blockers}
    assert {"aten.dropout.default", "aten.rand_like.default", "aten.linalg_eig.default"} <= set(blockers)
    assert len(blockers["aten.rand_like.default"].places) == 2
    assert f"test_torch_capture.py:{first + 1}" in blockers["aten.dropout.default"].places[0]


def test_an_operator_without_a_lift_is_decomposed_alone() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(torch.special.entr(x.sigmoid()))

    model = capture(function, torch.randn(3, 4))
    assert "gelu" in ops_of(model)
    assert_same(function, model, torch.randn(2, 4))


def test_outputs_are_named_by_the_tree() -> None:
    def function(x: torch.Tensor) -> Any:
        return {"a": x + 1, "b": (x, [x * 2, None]), "n": x.shape[0] * 2, "three": 3}

    model = capture(function, torch.randn(3, 4))
    assert model.output_names == ("a", "b.0", "b.1.0", "n")
    assert model.main.structure == {
        "a": {"output": "a"},
        "b": [{"output": "b.0"}, [{"output": "b.1.0"}, {"value": None}]],
        "n": {"output": "n"},
        "three": {"value": 3},
    }
    assert evaluate(model, torch.randn(5, 4))[3] == 10
    assert capture(lambda x: (x, x + 1), torch.randn(3, 4)).output_names == ("output_0", "output_1")
    assert capture(lambda x: x + 1, torch.randn(3, 4)).output_names == ("output_0",)


def test_nested_inputs_are_named_by_the_tree() -> None:
    def function(x: torch.Tensor, past: Any, *, scale: float = 2.0) -> torch.Tensor:
        return x * scale + past[0]["k"] + past[1][0]

    past = ({"k": torch.randn(3, 4)}, (torch.randn(3, 4),))
    model = capture(function, torch.randn(3, 4), past, scale=3.0)
    assert model.input_names == ("x", "past.0.k", "past.1.0")
    nested = capture(function, torch.randn(3, 4), past, dynamic={"x": ("b", None), "past": ("b", None)})
    assert nested.dims == ("b",)
    x, k, v = (torch.randn(2, 4) for _ in range(3))
    np.testing.assert_allclose(evaluate(model, x, k, v)[0], (x * 3 + k + v).numpy(), rtol=1e-6)


def test_scalars_keep_full_precision() -> None:
    model = capture(lambda x: x * 0.1 + 1e-12, torch.randn(3, 4))
    values = [node.attrs["value"] for node in model.main.graph.nodes() if node.op == "full"]
    assert values == [0.1, 1e-12]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.tensor([3, -7]), 2.5),
        (torch.tensor([3, -7]), torch.tensor(2.5)),
        (torch.tensor([3, -7], dtype=torch.uint8), torch.tensor([1, 2], dtype=torch.int16)),
        (torch.tensor([True, False]), 2),
        (torch.tensor([1.5, 2.5], dtype=torch.float16), torch.tensor([2.0, 4.0], dtype=torch.bfloat16)),
        (torch.tensor([1.5, 2.5]), torch.tensor(2.0, dtype=torch.float64)),
    ],
)
def test_promotion_is_torchs(left: torch.Tensor, right: Any) -> None:
    function = (lambda x: x * right) if not isinstance(right, torch.Tensor) else (lambda x, y: x * y)
    inputs = (left,) if not isinstance(right, torch.Tensor) else (left, right)
    model = capture(function, *inputs, dynamic=False)
    expected = function(*inputs)
    got = evaluate(model, *(x for x in inputs if x.dtype is not torch.bfloat16)) if len(inputs) == 1 else None
    assert model.main.graph.outputs[0].dtype.value == str(expected.dtype).removeprefix("torch.")
    if got is not None:
        np.testing.assert_array_equal(got[0], expected.numpy())


def test_sources_name_the_users_line_and_module() -> None:
    module = Linear()
    model = capture(module, torch.randn(3, 4))
    node = model.main.graph.outputs[0].node
    assert node.source is not None
    assert (node.source.file, node.source.path) == (Path(__file__).name, "fc")
    assert node.source.line == Linear.forward.__code__.co_firstlineno + 1
    assert node.name == "fc.linear"


def test_a_method_of_a_module_is_captured_with_its_parameters() -> None:
    class Coder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(4, 2)
            self.decoder = nn.Linear(2, 4)

        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return self.encoder(x)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.decoder(self.encode(x))

    module = Coder()
    model = capture(module.encode, torch.randn(3, 4))
    assert list(model.parameters) == list(module.state_dict())
    assert_same(module.encode, model, torch.randn(2, 4))


def test_an_exported_program_is_captured() -> None:
    module = Linear().eval()
    batch = torch.export.Dim("n")
    program = torch.export.export(module, (torch.randn(3, 4),), dynamic_shapes={"x": {0: batch}})
    model = capture(program)
    assert model.dims == ("batch",)
    assert list(model.parameters) == list(module.state_dict())
    assert capture(program, dynamic={"x": ("rows", None)}).dims == ("rows",)
    assert_same(module, model, torch.randn(5, 4))


def test_the_fast_path_of_attention_is_off() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    model = capture(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval(), torch.randn(3, 5, 8))
    assert "scaled_dot_product_attention" in ops_of(model)


def test_a_traced_error_names_the_users_line() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x

    line = function.__code__.co_firstlineno + 1
    with pytest.raises(CaptureError, match=f"test_torch_capture.py:{line}.*torch.cond"):
        capture(function, torch.randn(3, 4))


def test_wrong_example_inputs_are_named() -> None:
    with pytest.raises(CaptureError, match=r"forward\(x.*missing a required argument: 'x'"):
        capture(Linear())


def test_control_flow_becomes_closed_graphs() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        y = torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a - 1, (x,))
        return y.cumsum(0)

    model = capture(function, torch.randn(3, 4))
    assert "cond" in ops_of(model)
    assert_same(function, model, torch.ones(2, 4))
    assert_same(function, model, -torch.ones(5, 4))


def test_recurrent_layers_stay_whole() -> None:
    module = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True).eval()
    model = capture(module, torch.randn(3, 5, 4), dynamic={"input": ("batch", "seq", None)})
    assert ops_of(model).count("lstm") == 4
    inputs = torch.randn(2, 7, 4)
    outputs, (hidden, cell) = module(inputs)
    for got, want in zip(evaluate(model, inputs), (outputs, hidden, cell), strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), atol=1e-6)


def test_advanced_indexing_follows_torch() -> None:
    def function(x: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x[i], x[:, i, j], x[i, :, j], x[i[:, None], j], x[..., None, i]

    x, i, j = torch.randn(4, 5, 6), torch.tensor([0, 3, -1]), torch.tensor([1, -2, 0])
    model = capture(function, x, i, j, dynamic=False)
    assert_same(function, model, x, i, j)


def test_data_dependent_sizes_run() -> None:
    def function(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[x > 0], torch.nonzero(x > 0)

    model = capture(function, torch.randn(3, 4))
    x = torch.tensor([[1.0, -1.0, 2.0, 0.0]])
    assert_same(function, model, x)


def test_private_names_of_torch_are_there() -> None:
    """Each name is private to torch: this test says which one went when a new version breaks the capture."""
    import importlib

    from torch.fx.experimental import symbolic_shapes
    from torch.utils import _pytree

    assert {"tree_flatten", "tree_unflatten", "tree_flatten_with_path", "SequenceKey"} <= set(dir(_pytree))
    assert {"_get_sloc", "evaluate_expr"} <= set(dir(symbolic_shapes.ShapeEnv))
    assert callable(symbolic_shapes.uninteresting_files)
    assert callable(torch.fx.proxy.TracerBase._filter_traceback_frames)
    assert torch.ops.aten.lstm.input.py_kernels
    assert callable(torch.ops.aten.lstm.input._dispatch_cache.clear)
    assert {"guards", "replacements", "replacements_slocs", "var_to_sources"} <= set(vars(symbolic_shapes.ShapeEnv()))
    scan = importlib.import_module("torch._higher_order_ops.associative_scan")
    assert {"generic_associative_scan", "associative_scan_op"} <= set(dir(scan))
    assert callable(torch.compiler.is_exporting)
    assert torch.ops.aten.relu.default._schema.arguments
