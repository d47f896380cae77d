"""Models from other frameworks as torch would have them: layers' names, layouts, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kxchange import ops  # noqa: E402
from kxchange.graph import Graph, parameter, placeholder  # noqa: E402
from kxchange.hub import capture  # noqa: E402
from kxchange.model import Function, Model, Parameter, Role  # noqa: E402
from kxchange.types import TensorType  # noqa: E402
from kxchange_torch.build import build, describe  # noqa: E402
from kxchange_torch.gradients import gradients  # noqa: E402
from kxchange_torch.source import held_weights  # noqa: E402

pytestmark = pytest.mark.torch

SHAPES = {
    "block/conv/kernel": (3, 3, 2, 4),
    "block/conv/bias": (4,),
    "block/bn/gamma": (4,),
    "block/bn/beta": (4,),
    "block/bn/moving_mean": (4,),
    "block/bn/moving_variance": (4,),
    "dense/kernel": (4, 3),
    "scale": (3,),
}


def draw() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in SHAPES.items()}


def read(name: str):
    return parameter(name, TensorType.parse(f"float32{list(SHAPES[name])}"))


def network(origin: str | None = "keras") -> Model:
    """What a channels-last framework's small network lifts to."""
    x = placeholder("x", TensorType.parse("float32[batch, 6, 6, 2]"))
    kernel = ops.permute_dims(read("block/conv/kernel"), axes=(3, 2, 0, 1))
    y = ops.conv(
        x,
        kernel,
        read("block/conv/bias"),
        strides=(1, 1),
        padding=((1, 1), (1, 1)),
        dilations=(1, 1),
        groups=1,
        channel_axis=-1,
    )
    names = ("moving_mean", "moving_variance", "gamma", "beta")
    y = ops.relu(ops.batch_norm(y, *(read(f"block/bn/{n}") for n in names), epsilon=1e-3, channel_axis=-1))
    y = ops.max_pool(y, window=(2, 2), strides=(2, 2), padding=((0, 0), (0, 0)), dilations=(1, 1), channel_axis=-1)
    dense = ops.linear(ops.mean(y, axis=(1, 2)), ops.permute_dims(read("dense/kernel"), axes=(1, 0)))
    roles = {"block/bn/moving_mean": Role.BUFFER, "block/bn/moving_variance": Role.BUFFER}
    entries = [Parameter(n, a, role=roles.get(n, Role.PARAMETER)) for n, a in draw().items()]
    graph = Graph((x,), (ops.multiply(dense, read("scale")),))
    return Model({"main": Function(graph, ("y",))}, entries, provenance={"format": origin} if origin else {})


def by_hand(x: torch.Tensor, arrays: dict[str, np.ndarray]) -> torch.Tensor:
    """The network in torch's own functions on the source's arrays."""
    t = {name: torch.from_numpy(array) for name, array in arrays.items()}
    y = torch.conv2d(x.permute(0, 3, 1, 2), t["block/conv/kernel"].permute(3, 2, 0, 1), t["block/conv/bias"], padding=1)
    bn = [t[f"block/bn/{n}"][:, None, None] for n in ("moving_mean", "moving_variance", "gamma", "beta")]
    y = torch.relu((y - bn[0]) / torch.sqrt(bn[1] + 1e-3) * bn[2] + bn[3])
    return torch.max_pool2d(y, 2).mean((2, 3)) @ t["dense/kernel"] * t["scale"]


def test_parameters_are_what_torchs_layers_hold() -> None:
    net = build(network())
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == {
        "block.conv.weight": (4, 2, 3, 3),
        "block.conv.bias": (4,),
        "block.bn.weight": (4,),
        "block.bn.bias": (4,),
        "block.bn.running_mean": (4,),
        "block.bn.running_var": (4,),
        "dense.weight": (3, 4),
        "scale": (3,),
    }
    layer = torch.nn.Linear(4, 3, bias=False)
    layer.load_state_dict({"weight": net.state_dict()["dense.weight"]}, strict=True)


def test_one_transpose_is_left_and_the_values_are_right() -> None:
    net = build(network())
    source = describe(net)["main"]
    assert source.count(".permute(") == 1 and "movedim" not in source
    x = torch.randn(3, 6, 6, 2)
    torch.testing.assert_close(net(x), by_hand(x, draw()), rtol=1e-5, atol=1e-5)


def test_the_models_weights_are_told_in_its_own_layout() -> None:
    held = held_weights(network())
    for name, array in draw().items():
        assert held[name].shape == array.shape and held[name].tobytes() == array.tobytes()


def test_gradients_are_in_the_models_layout() -> None:
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 2)).astype(np.float32)
    arrays = draw()
    found = gradients(network())({"x": x}, {"y": np.ones((2, 3), np.float32)})
    kernel = torch.from_numpy(arrays["dense/kernel"]).requires_grad_()
    t = dict(arrays)
    t["dense/kernel"] = np.eye(4, 3, dtype=np.float32)  # the features, from the same formula
    y = torch.from_numpy(x)
    features = by_hand(y, {**t, "dense/kernel": np.eye(4, dtype=np.float32), "scale": np.ones(4, np.float32)})
    (features @ kernel * torch.from_numpy(arrays["scale"])).sum().backward()
    np.testing.assert_allclose(found["parameter dense/kernel"], kernel.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert found["parameter block/conv/kernel"].shape == SHAPES["block/conv/kernel"]


def test_a_trained_module_comes_back_under_the_sources_names() -> None:
    net = build(network())
    with torch.no_grad():
        net.get_parameter("dense.weight").mul_(2)
    back = capture(net, x=torch.randn(2, 6, 6, 2))
    assert list(back.parameters) == list(SHAPES)
    expected = {**draw(), "dense/kernel": draw()["dense/kernel"] * 2}
    for name, array in expected.items():
        assert back.array(name).shape == array.shape and back.array(name).tobytes() == array.tobytes()
    x = np.random.default_rng(2).normal(size=(5, 6, 6, 2)).astype(np.float32)
    (value,) = back(x=x).values()
    np.testing.assert_allclose(value, by_hand(torch.from_numpy(x), expected).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("origin", "layout"), [("keras", "source"), (None, "auto"), ("torch", "auto")])
def test_the_sources_layout_is_kept_on_request_and_for_torchs_own(origin: str | None, layout: str) -> None:
    net = build(network(origin), layout=layout)
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == SHAPES


def test_a_parameter_that_is_read_in_two_layouts_stays() -> None:
    x = placeholder("x", TensorType.parse("float32[batch, 3]"))
    weight = parameter("table/embeddings", TensorType.parse("float32[3, 3]"))
    graph = Graph((x,), (ops.linear(ops.linear(x, weight), ops.permute_dims(weight, axes=(1, 0))),))
    array = np.arange(9, dtype=np.float32).reshape(3, 3)
    model = Model(
        {"main": Function(graph, ("y",))}, [Parameter("table/embeddings", array)], provenance={"format": "keras"}
    )
    (tensor,) = build(model).state_dict().values()
    assert np.array_equal(tensor.numpy(), array)


def test_a_name_that_is_taken_stays() -> None:
    x = placeholder("x", TensorType.parse("float32[batch, 3]"))
    type = TensorType.parse("float32[3]")
    names = ("n.weight", "n/gamma")
    value = x
    for name in names:
        value = ops.layer_norm(value, parameter(name, type), None, axes=1, epsilon=1e-5)
    model = Model(
        {"main": Function(Graph((x,), (value,)), ("y",))},
        [Parameter(n, np.ones(3, np.float32)) for n in names],
        provenance={"format": "keras"},
    )
    assert len(build(model).state_dict()) == 2


def test_a_name_without_a_path_comes_back_in_its_layout() -> None:
    x = placeholder("x", TensorType.parse("float32[batch, 3]"))
    kernel = ops.permute_dims(parameter("kernel", TensorType.parse("float32[3, 2]")), axes=(1, 0))
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    function = Function(Graph((x,), (ops.linear(x, kernel),)), ("y",))
    net = build(Model({"main": function}, [Parameter("kernel", array)], provenance={"format": "keras"}))
    assert tuple(net.get_parameter("kernel").shape) == (2, 3)
    assert np.array_equal(capture(net, x=torch.randn(4, 3)).array("kernel"), array)


class Transposed(torch.nn.Module):
    """A weight kept the other way round than `linear` takes it, and a bias that a convolution adds along axis 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3)
        self.weight = torch.nn.Parameter(torch.randn(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3)) @ self.weight


@pytest.mark.jax
def test_the_state_dict_survives_a_stay_in_jax() -> None:
    pytest.importorskip("jax")
    module = Transposed()
    built = capture(module, x=torch.randn(3, 2, 6, 6)).to("jax")
    back = capture(built, x=np.zeros((3, 2, 6, 6), np.float32)).to("torch")
    right, found = module.state_dict(), back.state_dict()
    assert set(found) == set(right)
    assert all(torch.equal(found[name], tensor) for name, tensor in right.items())
