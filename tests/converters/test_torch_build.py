"""Built modules: the source's state, training, copies, compilation, export, hostile names."""

from __future__ import annotations

import copy
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from kxchange import ops  # noqa: E402
from kxchange.constant import Constant  # noqa: E402
from kxchange.errors import BuildError, InputError  # noqa: E402
from kxchange.graph import Graph, Value, parameter, placeholder  # noqa: E402
from kxchange.model import Function, Model, Parameter, Role  # noqa: E402
from kxchange.types import TensorType  # noqa: E402
from kxchange_torch.build import build, describe  # noqa: E402
from kxchange_torch.prepare import prepare  # noqa: E402

pytestmark = pytest.mark.torch


def read(name: str, text: str) -> Value:
    return parameter(name, TensorType.parse(text))


def entry(tensor: Any, name: str, **options: Any) -> Parameter:
    return Parameter(name, tensor.detach().numpy(), **options)


def from_module(module: nn.Module, function: Function) -> Model:
    """A model with a torch module's state, in its order."""
    parameters = dict(module.named_parameters())
    first: dict[int, str] = {}
    entries = []
    for name, tensor in module.state_dict(keep_vars=True).items():
        alias = first.setdefault(id(tensor), name)
        role = Role.PARAMETER if any(tensor is p for p in parameters.values()) else Role.BUFFER
        trainable = role is Role.PARAMETER and tensor.requires_grad
        entries.append(entry(tensor, name, role=role, trainable=trainable, alias_of=None if alias == name else alias))
    return Model({"main": function}, entries)


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(0.25))
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(8, 3, bias=False)
        self.body[0].bias.requires_grad_(False)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


def perceptron() -> tuple[nn.Module, Model]:
    torch.manual_seed(0)
    source = Perceptron().eval()
    x = placeholder("x", TensorType.parse("float32[batch, 6]"))
    h = ops.linear(x, read("body.0.weight", "float32[8, 6]"), read("body.0.bias", "float32[8]"))
    h = ops.layer_norm(
        ops.gelu(h), read("body.2.weight", "float32[8]"), read("body.2.bias", "float32[8]"), epsilon=1e-5
    )
    y = ops.linear(ops.dropout(h, rate=0.25), read("head.weight", "float32[3, 8]"))
    return source, from_module(source, Function(Graph((x,), (y,)), ("y",)))


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Any) -> Any:
        return torch.relu(self.norm(self.conv(image))).mean((2, 3))


def convolution() -> tuple[nn.Module, Model]:
    torch.manual_seed(1)
    source = Convolution()
    with torch.no_grad():
        source.norm.running_mean.normal_()
        source.norm.running_var.uniform_(0.5, 2.0)
    image = placeholder("image", TensorType.parse("float32[batch, 3, height, width]"))
    h = ops.conv(
        image,
        read("conv.weight", "float32[4, 3, 3, 3]"),
        read("conv.bias", "float32[4]"),
        strides=(2, 2),
        padding=((1, 1), (1, 1)),
        dilations=(1, 1),
    )
    statistics = [read(f"norm.{name}", "float32[4]") for name in ("running_mean", "running_var", "weight", "bias")]
    y = ops.mean(ops.relu(ops.batch_norm(h, *statistics, epsilon=1e-5)), axis=(2, 3))
    return source.eval(), from_module(source, Function(Graph((image,), (y,)), ("y",)))


def tied() -> tuple[nn.Module, Model]:
    torch.manual_seed(2)

    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 4)
            self.head = nn.Linear(4, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: Any) -> Any:
            return self.head(self.embed(ids))

    source = Language()
    ids = placeholder("ids", TensorType.parse("int64[batch, length]"))
    table = read("embed.weight", "float32[11, 4]")
    y = ops.linear(ops.embedding(table, ids), table)
    return source, from_module(source, Function(Graph((ids,), (y,)), ("logits",)))


SOURCES = {"perceptron": perceptron, "convolution": convolution, "tied": tied}
INPUTS = {
    "perceptron": lambda: torch.randn(5, 6),
    "convolution": lambda: torch.randn(2, 3, 9, 7),
    "tied": lambda: torch.randint(0, 11, (2, 5)),
}


@pytest.fixture(params=SOURCES)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, Any]:
    source, model = SOURCES[request.param]()
    return source, build(model), INPUTS[request.param]()


def test_state_is_the_source_state(pair: Any) -> None:
    source, net, _ = pair
    ours, theirs = net.state_dict(), source.state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[n].dtype == theirs[n].dtype and torch.equal(ours[n], theirs[n]) for n in theirs)
    assert [(n, p.requires_grad) for n, p in net.named_parameters()] == [
        (n, p.requires_grad) for n, p in source.named_parameters()
    ]
    assert [n for n, _ in net.named_buffers()] == [n for n, _ in source.named_buffers()]
    assert net.load_state_dict(source.state_dict(), strict=True)
    assert source.load_state_dict(net.state_dict(), strict=True)


def test_outputs_are_the_source_outputs(pair: Any) -> None:
    source, net, x = pair
    assert not net.training
    torch.testing.assert_close(net(x), source(x), rtol=0, atol=1e-6)


def test_gradients_are_the_source_gradients(pair: Any) -> None:
    source, net, x = pair
    source(x).square().sum().backward()
    net(x).square().sum().backward()
    for (name, ours), (_, theirs) in zip(net.named_parameters(), source.named_parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_the_module_shares_no_memory_with_the_model() -> None:
    _, model = perceptron()
    net = build(model)
    before = model.array("head.weight").copy()
    with torch.no_grad():
        net.head.weight.add_(1.0)
    assert np.array_equal(model.array("head.weight"), before)


def test_read_only_arrays_give_trainable_parameters() -> None:
    _, model = perceptron()
    arrays = {name: p.array.copy() for name, p in model.parameters.items()}
    for array in arrays.values():
        array.setflags(write=False)
    net = build(model.replace(parameters=[p.replace(data=arrays[n]) for n, p in model.parameters.items()]))
    net(torch.randn(2, 6)).sum().backward()
    torch.optim.SGD(net.parameters(), 0.1).step()
    assert not np.array_equal(net.head.weight.detach().numpy(), arrays["head.weight"])


def test_ties_stay_one_parameter() -> None:
    _, model = tied()
    net = build(model)
    assert net.head.weight is net.embed.weight
    assert len(list(net.parameters())) == 1
    clone = copy.deepcopy(net)
    assert clone.head.weight is clone.embed.weight and clone.head.weight is not net.head.weight


def test_batch_norm_trains_as_the_source_does() -> None:
    source, model = convolution()
    net, x = build(model), torch.randn(4, 3, 8, 8)
    source.train()
    net.train()
    torch.testing.assert_close(net(x), source(x), rtol=1e-5, atol=1e-6)
    for name, theirs in source.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], theirs, rtol=1e-5, atol=1e-6)
    assert int(net.state_dict()["norm.num_batches_tracked"]) == 1
    source.eval()
    net.eval()
    torch.testing.assert_close(net(x), source(x), rtol=1e-5, atol=1e-6)


def test_dropout_is_active_in_training_only() -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    net = build(Model({"main": Function(Graph((x,), (ops.dropout(x, rate=0.25),)), ("y",))}))
    ones = torch.ones(20_000)
    assert torch.equal(net(ones), ones)
    net.train()
    kept = net(ones)
    assert kept.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((kept == 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_copies_and_pickles(pair: Any) -> None:
    _, net, x = pair
    expected = net(x)
    clone = copy.deepcopy(net)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    with torch.no_grad():
        for parameter_ in net.parameters():
            parameter_.zero_()
    assert torch.equal(clone(x), expected) and torch.equal(loaded(x), expected)
    assert list(loaded.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_dtypes(dtype: Any) -> None:
    source, model = perceptron()
    x = torch.randn(3, 6)
    net = build(model).to(dtype)
    assert net(x.to(dtype)).dtype == dtype
    torch.testing.assert_close(net(x.to(dtype)).float(), source(x), rtol=0.05, atol=0.05)


def test_literals_follow_the_module_to_another_dtype() -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    raised = ops.maximum(ops.where(ops.greater(x, 0.5), x, 0.1), 0.2)
    constant = ops.constant(value=Constant(np.array([0.25, 0.5], np.float32)))
    y = ops.multiply(ops.add(raised, 1.0), ops.sum(constant))
    net = build(Model({"main": Function(Graph((x,), (y,)), ("y",))}))
    assert net.half()(torch.tensor([0.0, 1.0]).half()).dtype == torch.float16
    assert net.double()(torch.tensor([0.0, 1.0]).double()).tolist() == pytest.approx([0.9, 1.5])


def test_casts_and_new_tensors_follow_the_module_to_another_dtype() -> None:
    ids = placeholder("ids", TensorType.parse("int64[n]"))
    scale = read("scale", "float32[3]")
    steps = ops.arange(start=0, stop=3, dtype=scale.dtype)
    angles = ops.multiply(ops.expand_dims(ops.astype(ids, dtype=scale.dtype), axis=(1,)), ops.add(scale, steps))
    shifted = ops.add(ops.cos(angles), ops.full(shape=(3,), value=0.5, dtype=scale.dtype))
    net = build(
        Model({"main": Function(Graph((ids,), (shifted,)), ("y",))}, [Parameter("scale", np.ones(3, np.float32))])
    )
    x = torch.tensor([0, 2])
    expected = net(x)
    assert expected.dtype == torch.float32
    for dtype in (torch.bfloat16, torch.float64):
        assert net.to(dtype)(x).dtype == dtype
        torch.testing.assert_close(net(x).float(), expected, rtol=0.02, atol=0.02)


def test_export_again_with_symbolic_sizes(pair: Any) -> None:
    source, net, x = pair
    name = next(iter(net._kx.entries["main"].input_names))
    axes = {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(net, (x,), dynamic_shapes={name: axes}, strict=False)
    longer = torch.cat([x, x])
    torch.testing.assert_close(program.module()(longer), source(longer), rtol=1e-5, atol=1e-5)
    assert list(program.state_dict) == list(source.state_dict())


@pytest.mark.parametrize("name", ["perceptron", "convolution"])
def test_compiles_without_graph_breaks(name: str) -> None:
    source, model = SOURCES[name]()
    net = torch.compile(build(model), backend="eager", fullgraph=True)
    x = INPUTS[name]()
    torch.testing.assert_close(net(x), source(x), rtol=1e-5, atol=1e-6)


HOSTILE = [
    'w", RAN.append(1), "',
    "a\\",
    "a\n    RAN.append(1)",
    "forward",
    "training",
    "state_dict",
    "__class__",
    "_parameters",
    "self",
    "lambda",
    "class",
    "x0",
    "{RAN.append(1)}",
    "über",
    "a b",
    "",
    "0",
    "-1",
    "_kx",
    "x" * 300,
]
RAN: list[int] = []


@pytest.mark.parametrize("place", ["{}", "{}.weight", "layer.{}", "a.{}.b"])
def test_hostile_parameter_names_never_become_code(place: str) -> None:
    names = [place.format(name) for name in HOSTILE]
    x = placeholder(HOSTILE[0], TensorType.parse("float32[n, 2]"))
    total: Any = x
    entries = []
    for number, name in enumerate(names):
        total = ops.add(total, read(name, "float32[2]"))
        entries.append(Parameter(name, np.full(2, 2.0**number, np.float32)))
    net = build(Model({"main": Function(Graph((x,), (total,)), (HOSTILE[0],))}, entries))
    result = net(torch.zeros(3, 2))
    assert not RAN
    assert result[0, 0].item() == 2.0 ** len(names) - 1
    assert set(net.kx_names) == set(names) and len(net.state_dict()) == len(names)
    for name, entry_ in zip(names, entries, strict=True):
        assert torch.equal(net.state_dict()[net.kx_names[name]], torch.from_numpy(entry_.array))
    source = describe(net)["main"]
    assert "RAN" not in source and "über" not in source
    program = torch.export.export(net, (torch.zeros(3, 2),), strict=False)
    assert len(program.state_dict) == len(names) and not RAN


def test_names_that_torch_takes_stay() -> None:
    names = ["conv/kernel:0", "block.0.weight", "a-b.c", "layer (1).w", "ModuleDict.class.bias"]
    entries = [Parameter(name, np.ones(1, np.float32)) for name in names]
    x = placeholder("x", TensorType.parse("float32[n]"))
    net = build(Model({"main": Function(Graph((x,), (ops.relu(x),)), ("y",))}, entries))
    assert list(net.state_dict()) == names


def test_a_name_that_is_a_tensor_and_a_module() -> None:
    entries = [Parameter("a", np.ones(1, np.float32)), Parameter("a.b", np.zeros(1, np.float32))]
    x = placeholder("x", TensorType.parse("float32[n]"))
    net = build(Model({"main": Function(Graph((x,), (ops.add(x, read("a.b", "float32[1]")),)), ("y",))}, entries))
    assert net.kx_names["a"] == "a" and net.kx_names["a.b"] == "a_.b"
    assert net(torch.ones(2)).tolist() == [1.0, 1.0]


def test_roles() -> None:
    entries = [
        Parameter("w", np.ones(2, np.float32)),
        Parameter("steps", np.array(3), role=Role.PARAMETER),
        Parameter("mean", np.ones(2, np.float32), role=Role.BUFFER),
        Parameter("inv_freq", np.ones(2, np.float32), role=Role.CONSTANT),
    ]
    x = placeholder("x", TensorType.parse("float32[n, 2]"))
    net = build(Model({"main": Function(Graph((x,), (ops.add(x, read("inv_freq", "float32[2]")),)), ("y",))}, entries))
    assert list(net.state_dict()) == ["w", "steps", "mean"]
    assert [name for name, _ in net.named_parameters()] == ["w"]
    assert [name for name, _ in net.named_buffers()] == ["steps", "mean", "inv_freq"]
    assert net(torch.zeros(1, 2)).tolist() == [[1.0, 1.0]]


def test_several_functions_share_parameters() -> None:
    x = placeholder("x", TensorType.parse("float32[n, 2]"))
    z = placeholder("z", TensorType.parse("float32[n, 3]"))
    w = read("w", "float32[3, 2]")
    functions = {
        "encode": Function(Graph((x,), (ops.linear(x, w),)), ("z",)),
        "decode": Function(Graph((z,), (ops.matmul(z, w),)), ("x",)),
    }
    net = build(Model(functions, [Parameter("w", np.arange(6, dtype=np.float32).reshape(3, 2))]))
    hidden = net(torch.ones(1, 2))
    assert hidden.tolist() == [[1.0, 5.0, 9.0]]
    assert net.decode(hidden).tolist() == net.kx_call("decode", hidden).tolist() == [[46.0, 61.0]]
    assert copy.deepcopy(net).decode(hidden).tolist() == [[46.0, 61.0]]


def test_inputs_by_position_by_name_and_nested() -> None:
    names = ["ids", "past.0.key", "past.0.value", "past.1.key"]
    inputs = [placeholder(name, TensorType.parse("float32[n]")) for name in names]
    total = inputs[0]
    for place, value in enumerate(inputs[1:], start=1):
        total = ops.add(total, ops.multiply(value, 10.0**place))
    net = build(Model({"main": Function(Graph(tuple(inputs), (total,)), ("y",))}))
    one = torch.ones(1)
    nested = [{"key": one, "value": one}, {"key": one}]
    for result in (net(one, one, one, one), net(one, nested), net(ids=one, past=nested), net(one, past=nested)):
        assert result.tolist() == [1111.0]
    assert net(**dict.fromkeys(names, one)).tolist() == [1111.0]
    for bad in ((one,), (one, one, one, one, one)):
        with pytest.raises(InputError):
            net(*bad)
    with pytest.raises(InputError, match="unknown"):
        net(one, nested, other=one)
    with pytest.raises(InputError, match="twice"):
        net(one, nested, ids=one)


def test_outputs_come_in_the_source_tree() -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    outputs = (ops.negative(x), ops.abs(x), x)
    structure = {"a": {"output": "a"}, "rest": [{"output": "rest.0"}, {"value": None}, {"output": "rest.2"}]}
    named = Function(Graph((x,), outputs), ("a", "rest.0", "rest.2"), structure=structure)
    result = build(Model({"main": named}))(torch.tensor([-1.0]))
    assert result["a"].item() == 1 and result["rest"][0].item() == 1
    assert result["rest"][1] is None and result["rest"][2].item() == -1
    flat = build(Model({"main": Function(Graph((x,), outputs), ("a", "b", "c"))}))(torch.tensor([-1.0]))
    assert {name: value.item() for name, value in flat.items()} == {"a": 1.0, "b": 1.0, "c": -1.0}


def test_updates_write_the_buffer() -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    count = read("count", "float32[]")
    graph = Graph((x,), (ops.multiply(x, count), ops.add(count, 1.0)))
    model = Model(
        {"main": Function(graph, ("y", "next"), updates={"next": "count"}, structure={"output": "y"})},
        [Parameter("count", np.array(1.0, np.float32), role=Role.BUFFER)],
    )
    net = build(model)
    assert [net(torch.ones(1)).item() for _ in range(3)] == [1.0, 2.0, 3.0]
    run = prepare(model)
    assert [run({"x": np.ones(1, np.float32)})["next"].item() for _ in range(2)] == [2.0, 2.0]


def test_an_input_dim_may_be_an_expression() -> None:
    x = placeholder("x", TensorType.parse("float32[2*n+1]"))
    steps = ops.full(shape=(), value=TensorType.parse("int64[n]").shape[0], dtype=x.dtype)
    net = build(Model({"main": Function(Graph((x,), (ops.multiply(x, steps),)), ("y",))}))
    assert net(torch.ones(7)).tolist() == [3.0] * 7


def test_an_unknown_size_is_refused() -> None:
    x = placeholder("x", TensorType.parse("float32[n*m]"))
    y = ops.reshape(x, shape=TensorType.parse("float32[n, m]").shape)
    with pytest.raises(BuildError, match="size '[nm]'"):
        build(Model({"main": Function(Graph((x,), (y,)), ("y",))}))


def test_a_wrong_dtype_in_the_data_is_refused() -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    wrong = Parameter("w", lambda: np.ones(2), type=TensorType.parse("float32[2]"))
    with pytest.raises(BuildError, match="'w'"):
        build(Model({"main": Function(Graph((x,), (x,)), ("y",))}, [wrong]))


def test_a_wrong_rule_is_caught_before_the_module_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    from kxchange.table import Entry, always
    from kxchange_torch.lower import lower

    monkeypatch.setitem(lower.entries, "relu", Entry(lambda x: torch.relu(x).unsqueeze(0), always, direct=True))
    x = placeholder("x", TensorType.parse("float32[n]"))
    with pytest.raises(BuildError, match="inferred"):
        build(Model({"main": Function(Graph((x,), (ops.relu(x),)), ("y",))}))


def test_long_chains_need_no_recursion() -> None:
    value = x = placeholder("x", TensorType.parse("float32[n]"))
    for _ in range(20_000):
        value = ops.negative(value)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            net = build(Model({"main": Function(Graph((x,), (value,)), ("y",))}))
            assert net(torch.ones(2)).tolist() == [1.0, 1.0]
        except BaseException as error:
            failures.append(error)

    threading.stack_size(512 * 1024)  # a small stack: recursion would not survive it
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    assert not failures


def test_prepare_checks_its_inputs(tmp_path: Path) -> None:
    _, model = perceptron()
    run = prepare(model)
    good = np.zeros((2, 6), np.float32)
    assert run({"x": good})["y"].shape == (2, 3)
    for bad in ({}, {"x": good, "z": good}, {"x": good[0]}, {"x": good.astype(np.float64)}, {"x": good[:, :5]}):
        with pytest.raises(InputError):
            run(bad)
