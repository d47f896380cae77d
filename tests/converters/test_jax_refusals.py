"""What capture makes of functions that are not plain models: it says what, where and what to do, or keeps the meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.experimental import io_callback  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.dims import parse_dim, substitute, symbol  # noqa: E402
from kxchange.errors import CaptureError, InputError, UnsupportedOpError  # noqa: E402
from kxchange.model import Role  # noqa: E402

pytestmark = pytest.mark.jax

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3)).astype(np.float32)
W = RNG.standard_normal((3, 4)).astype(np.float32)


def run(model: kx.Model, *arrays: Any) -> list[np.ndarray]:
    return list(kx.run(model, dict(zip(model.input_names, arrays, strict=True))).values())


def test_callbacks_are_refused_all_at_once_with_their_lines() -> None:
    def model(x: Any) -> Any:
        jax.debug.print("{}", x.sum())
        y = jax.pure_callback(np.sin, jax.ShapeDtypeStruct((2, 3), jnp.float32), x)
        return jnp.linalg.eigvals(y[:, :2])

    with pytest.raises(UnsupportedOpError) as caught:
        kx.capture(model, X, dynamic=False)
    names = {blocker.op for blocker in caught.value.blockers}
    assert {"pure_callback", "eig"} <= names
    assert names & {"debug_callback", "debug_print"}
    assert all("test_jax_refusals.py:" in blocker.places[0] for blocker in caught.value.blockers)


MESH = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
LIKE = jax.ShapeDtypeStruct(X.shape, X.dtype)


def _doubled_in_place(x: Any) -> Any:
    reference = jax.new_ref(x)
    reference[...] = reference[...] * 2
    return reference[...]


def _by_kernel(x: Any) -> Any:
    from jax.experimental import pallas

    def kernel(read: Any, write: Any) -> None:
        write[...] = read[...] * 2

    return pallas.pallas_call(kernel, out_shape=LIKE, interpret=True)(x)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "debug_print": (lambda x: (jax.debug.print("{}", x), x)[1], "calls back"),
    "debug_callback": (lambda x: (jax.debug.callback(print, x), x)[1], "calls back"),
    "pure_callback": (lambda x: jax.pure_callback(np.sin, LIKE, x), "calls back"),
    "io_callback": (lambda x: io_callback(np.sin, LIKE, x, ordered=True), "calls back"),
    "ffi_call": (lambda x: jax.ffi.ffi_call("my_kernel", LIKE)(x), "foreign code"),
    "shard_map": (lambda x: jax.shard_map(jnp.sin, mesh=MESH, in_specs=P("d"), out_specs=P("d"))(x), "devices"),
    "pallas_call": (_by_kernel, "kernel for one kind of device"),
    "swap": (_doubled_in_place, "mutable array"),
    "rng_bit_generator": (lambda x: x + jax.random.normal(jax.random.key(0, impl="rbg"), (3,)), "jax.random"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_graph_can_hold_is_refused_with_its_reason_and_line(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(UnsupportedOpError) as caught:
        kx.capture(function, X, dynamic=False)
    (blocker,) = (blocker for blocker in caught.value.blockers if blocker.op == name)
    assert reason in blocker.reason
    assert "test_jax_refusals.py:" in blocker.places[0]


def test_a_function_that_is_another_each_time_is_refused() -> None:
    calls: list[int] = []
    generator = np.random.default_rng()

    def counting(x: Any) -> Any:
        calls.append(0)
        return x * float(len(calls))

    impure = (
        counting,
        lambda x: x + generator.standard_normal((2, 3)).astype(np.float32),
        lambda x: (x, float(generator.random())),
    )
    for function in impure:
        with pytest.raises(CaptureError, match=r"another program each time.*Pass what changes as an input"):
            kx.capture(function, X, dynamic=False)


def test_a_mapped_collective_is_a_reduction_and_placement_means_nothing() -> None:
    def model(x: Any) -> Any:
        x = lax.with_sharding_constraint(x, jax.sharding.NamedSharding(MESH, P("d")))
        mean = jax.vmap(lambda row: row - lax.pmean(row, "i"), axis_name="i")(x)
        return jax.jit(lambda y: y * 2, donate_argnums=0)(mean), jax.vmap(lambda r: lax.pmax(r, "i"), axis_name="i")(x)

    placed = jax.device_put(X, jax.sharding.NamedSharding(MESH, P("d")))
    centred, greatest = run(kx.capture(model, placed, dynamic=False), X)
    np.testing.assert_allclose(centred, 2 * (X - X.mean(axis=0)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(greatest, np.broadcast_to(X.max(axis=0), (2, 3)))


def test_mapped_loops_end_where_each_one_does() -> None:
    def collatz(n: Any) -> Any:
        return lax.while_loop(
            lambda c: c[0] != 1, lambda c: (jnp.where(c[0] % 2 == 0, c[0] // 2, 3 * c[0] + 1), c[1] + 1), (n, 0)
        )[1]

    found = kx.capture(jax.vmap(collatz), np.array([6, 1], np.int32))
    steps = {6: 8, 1: 0, 27: 111, 7: 16}
    given = np.array(list(steps), np.int32)
    for backend in ("numpy", "jax", "torch", "onnx"):
        (counted,) = kx.run(found, {found.input_names[0]: given}, backend=backend).values()
        np.testing.assert_array_equal(counted, list(steps.values()))


def test_arrays_of_keys_are_moved_as_keys() -> None:
    def model(seed: Any, which: Any) -> Any:
        keys = jax.random.split(jax.random.key(seed), 6).reshape(2, 3)
        chosen = (
            keys.T[which],
            jnp.where(which > 1, keys[0, 0], keys[1, 2]),
            lax.dynamic_slice(keys, (which, 1), (1, 2)),
        )
        drawn = [jax.vmap(jax.random.normal)(c.reshape(-1)) for c in chosen]
        return *drawn, jax.random.gamma(keys[1, 1], 2.5, (3,)), jax.random.categorical(keys[0, 2], jnp.arange(4.0))

    found = kx.capture(model, np.uint32(3), np.int32(0))
    for seed, which in ((0, 1), (77, 2)):
        ours = run(found, np.uint32(seed), np.int32(which))
        for got, wanted in zip(ours, model(np.uint32(seed), np.int32(which)), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_powers_branches_by_platform_and_complex_numbers_are_the_same_in_float64() -> None:
    def model(p: Any, x: Any) -> Any:
        waves = x[..., None] / 3.0 ** jnp.arange(4.0) * jnp.pi
        phases = jnp.exp(1j * x) * p["f"]
        shifted = jnp.pad(phases, ((0, 0), (1, 0)))
        return waves, jnp.abs(shifted), jnp.linalg.slogdet(p["w"])[1] + x.sum(), jnp.linalg.solve(p["w"], x[0])

    params = {"w": RNG.standard_normal((3, 3)).astype(np.float32), "f": (1 + 2j) * np.ones(3, np.complex64)}
    found = kx.capture(model, params, X)
    truth = kx.converters()["jax"].source(found.origin, found, float64=True)({"x": X.astype(np.float64)})
    ours = kx.run(found, {"x": X.astype(np.float64)}, dtype="float64")
    for name, wanted in truth.items():
        np.testing.assert_allclose(ours[name], wanted, rtol=1e-12, atol=1e-13)
    for backend in ("numpy", "jax", "torch"):
        for got, wanted in zip(kx.run(found, {"x": X}, backend=backend).values(), model(params, X), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-5)


def test_an_error_of_the_function_names_the_line() -> None:
    line = (lambda: None).__code__.co_firstlineno + 1
    with pytest.raises(CaptureError, match=rf"test_jax_refusals.py:{line + 1}.*ConcretizationTypeError") as caught:
        kx.capture(lambda x: float(x.sum()) * x, X, dynamic=False)
    assert "dynamic=False" not in str(caught.value)


def test_a_copied_weight_is_no_constant() -> None:
    copied = np.array(W)
    with pytest.raises(CaptureError, match="exactly the values of parameter 'w'"):
        kx.capture(lambda params, x: x @ copied + params["w"].sum(), {"w": W}, X)


def test_the_weight_itself_is_the_parameter_even_where_it_is_closed_over() -> None:
    params = {"w": jnp.asarray(W)}
    model = kx.capture(lambda p, x: x @ params["w"] + p["w"].sum(), params, X)
    assert list(model.parameters) == ["w"]
    np.testing.assert_allclose(run(model, X)[0], X @ W + W.sum(), rtol=1e-5)


def test_a_large_array_that_is_closed_over_is_kept_under_a_name() -> None:
    table = RNG.standard_normal((5, 30)).astype(np.float32)
    small = np.array([0.5, 0.25, 2.0], np.float32)
    model = kx.capture(lambda x: (x * small) @ jnp.asarray(table)[:3], X)
    assert {name: entry.role for name, entry in model.parameters.items()} == {"constant_0": Role.CONSTANT}
    np.testing.assert_allclose(run(model, X)[0], (X * small) @ table[:3], rtol=1e-4)


def test_a_branch_on_a_size_names_the_constraint_that_decides_it() -> None:
    def model(x: Any) -> Any:
        return x[:, :4] if x.shape[1] >= 4 else x

    dynamic = {"x": ("batch", "seq")}
    with pytest.raises(CaptureError, match=r"constraints=\['seq >= 4'\]"):
        kx.capture(model, np.ones((2, 6), np.float32), dynamic=dynamic)
    found = kx.capture(model, np.ones((2, 6), np.float32), dynamic=dynamic, constraints=["seq >= 4"])
    assert [str(constraint) for constraint in found.constraints] == ["seq >= 4 (stated at capture)"]
    assert run(found, np.ones((3, 9), np.float32))[0].shape == (3, 4)
    with pytest.raises(InputError, match="seq >= 4"):
        run(found, np.ones((3, 2), np.float32))


def test_a_size_that_must_be_a_number_is_an_error() -> None:
    with pytest.raises(CaptureError, match="dynamic=False"):
        kx.capture(lambda x: jnp.ones(int(x.shape[0])) + x.sum(), X)
    model = kx.capture(lambda x: jnp.ones(int(x.shape[0])) + x.sum(), X, dynamic=False)
    assert model.dims == ()


def test_what_cannot_be_traced_is_said_with_the_reason_of_jax() -> None:
    with pytest.raises(CaptureError, match="TracerArrayConversionError"):
        kx.capture(lambda x: np.sin(np.asarray(x)), X)
    with pytest.raises(CaptureError, match="TracerBoolConversionError"):
        kx.capture(lambda x: x if x.sum() > 0 else -x, X)


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        ({"y": ("n",)}, "names the input 'y'"),
        ({"x": ("n",)}, "gives 1 dims"),
        ({"x": {5: "n"}}, "axis 5"),
        ({"x": ("n", "n")}, "is 3, but 'n' is 2"),
        ({"x": ("2*n+k", None)}, "cannot tell the size"),
        ({"x": ("n", 4)}, "the example has 3"),
        (7, "cannot be 7"),
    ],
)
def test_dims_that_do_not_fit(dynamic: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message.replace("*", r"\*").replace("+", r"\+")):
        kx.capture(lambda x: x, X, dynamic=dynamic)


@pytest.mark.parametrize("text", ["seq", "seq ? 4", "seq <= 4 5"])
def test_constraints_that_are_none(text: str) -> None:
    with pytest.raises(CaptureError, match="constraints"):
        kx.capture(lambda x: x, X, constraints=[text])


def test_sizes_as_data_and_expressions_as_dims() -> None:
    def model(x: Any, y: Any) -> Any:
        return x.sum(axis=0) / x.shape[0] + jnp.arange(x.shape[1]), y.reshape(2, -1)

    examples, dynamic = (np.ones((2, 3), np.float32), np.ones(6, np.float32)), (("n", "k"), ("n*k",))
    with pytest.raises(CaptureError, match=r"constraints=\['mod\(k\*n, 2\) == 0'\]"):
        kx.capture(model, *examples, dynamic=dynamic)
    found = kx.capture(model, *examples, dynamic=dynamic, constraints=["n*k % 2 == 0"])
    assert [constraint.kind for constraint in found.constraints] == ["divides"]
    x, y = RNG.standard_normal((4, 5)).astype(np.float32), np.arange(20, dtype=np.float32)
    means, rows = run(found, x, y)
    np.testing.assert_allclose(means, x.mean(axis=0) + np.arange(5), rtol=1e-5)
    np.testing.assert_array_equal(rows, y.reshape(2, -1))
    with pytest.raises(InputError, match=r"k\*n|n\*k"):
        run(found, x, y[:7])


def test_trees_of_inputs_and_outputs_keep_their_names() -> None:
    def model(params: Any, batch: Any, *rest: Any, scale: float = 1.0, mode: str = "sum") -> Any:
        total = batch["a"] + sum(rest) if mode == "sum" else batch["a"]
        return {"y": total * scale, "state": [params["w"][0], None]}

    found = kx.capture(model, {"w": (W, W[0])}, {"a": X, "flag": True}, X, X, scale=2.0)
    assert found.input_names == ("batch.a", "rest.0", "rest.1")
    assert list(found.parameters) == ["w.0", "w.1"]
    assert set(found.output_names) == {"y", "state.0"}
    assert found.main.structure == {"state": [{"output": "state.0"}, {"value": None}], "y": {"output": "y"}}
    outputs = kx.run(found, {"batch.a": X, "rest.0": X, "rest.1": X})
    np.testing.assert_allclose(outputs["y"], 6 * X, rtol=1e-6)


def test_control_flow() -> None:
    def model(x: Any, n: Any) -> Any:
        total = lax.fori_loop(0, 4, lambda i, s: s + i * x, jnp.zeros_like(x))
        halved = lax.while_loop(lambda c: (c > 1).any(), lambda c: c / 2, jnp.abs(x))
        chosen = lax.switch(n, [lambda v: v, lambda v: v * 2, lambda v: v * 3], x)
        branch = lax.cond(n > 1, lambda v: v + 1, lambda v: v - 1, x)
        last, running = lax.scan(lambda c, row: (c + row, c * row), x[0], x)
        return total, halved, chosen, branch, last, running, lax.map(lambda row: row.sum(), x)

    found = kx.capture(model, X, np.int32(1), dynamic={"x": ("batch", None)})
    data = RNG.standard_normal((5, 3)).astype(np.float32) * 9
    for n in (-1, 0, 1, 2, 7):
        for got, wanted in zip(run(found, data, np.int32(n)), model(jnp.asarray(data), n), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_random_numbers_are_drawn_to_the_bit() -> None:
    def model(seed: Any) -> Any:
        first, second = jax.random.split(jax.random.key(seed))
        folded = jax.random.fold_in(second, 7)
        return (
            jax.random.bits(first, (5,)),
            jax.random.uniform(second, (3, 2)),
            jax.random.randint(folded, (4,), 0, 100),
            jax.random.permutation(first, 6),
        )

    found = kx.capture(model, np.uint32(3))
    for seed in (0, 12345):
        for got, wanted in zip(run(found, np.uint32(seed)), model(seed), strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert all(
        o.dtype == np.float64 or o.dtype.kind in "iu"
        for o in kx.run(found, {"seed": np.uint32(3)}, dtype="float64").values()
    )


def test_64_bit_integers_stay_64_bits() -> None:
    with jax.enable_x64(True):
        found = kx.capture(lambda x: x * 3 + 2**40, np.array([1, 2], np.int64))
    assert run(found, np.array([5, 2**41], np.int64))[0].tolist() == [15 + 2**40, 3 * 2**41 + 2**40]


def test_numbers_keep_the_precision_of_the_source() -> None:
    def model(x: Any) -> Any:
        return (x * np.sqrt(2 / np.pi) + 0.044715) / (1e-6 + np.float32(0.1))

    found = kx.capture(model, X)
    numbers = {n.attrs["value"] for n in found.main.graph.nodes() if n.op == "full"}
    assert {float(np.sqrt(2 / np.pi)), 0.044715} <= numbers


def test_training_mode_of_linen_writes_its_statistics() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any, train: bool) -> Any:
            return nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(4)(x))

    net = Net()
    variables = net.init(jax.random.key(0), X, train=False)
    found = kx.capture(net, variables, X, train=True, mutable=["batch_stats"])
    statistics = [f"batch_stats.BatchNorm_0.{name}" for name in ("mean", "var")]
    assert dict(found.main.updates) == {f"{name}.next": name for name in statistics}
    data = RNG.standard_normal((6, 3)).astype(np.float32)
    outputs = found(x=data)
    wanted, updated = net.apply(variables, data, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(outputs["output_0"], wanted, rtol=1e-4, atol=1e-5)
    for name in ("mean", "var"):
        got = outputs[f"batch_stats.BatchNorm_0.{name}.next"]
        np.testing.assert_allclose(got, updated["batch_stats"]["BatchNorm_0"][name], rtol=1e-4, atol=1e-6)


def test_tied_parameters_are_aliases() -> None:
    shared = jnp.asarray(W)
    found = kx.capture(lambda p, x: (x @ p["a"]) @ p["b"].T, {"a": shared, "b": shared}, X)
    assert found.parameters["b"].alias_of == "a"
    net = found.to("jax")
    assert list(net.params) == ["a"]


def test_private_names_are_where_they_were() -> None:
    """Each private API that `private.py` uses; when JAX moves one, this says which."""
    from jax import export
    from jax._src import core, source_info_util
    from jax._src.lax import linalg, special
    from jax._src.random import core as random_core
    from jax._src.random import prng, threefry2x32

    from kxchange_jax import private

    with private.mlir_context():
        assert len(private.ir.Module.parse("module {}").body.operations) == 0
    assert hasattr(private.dialect, "DotDimensionNumbers") and hasattr(private.dialect, "GatherDimensionNumbers")
    assert callable(core.max_dim) and callable(core.min_dim) and callable(core.dimension_as_value)
    assert callable(source_info_util.user_frames)
    assert callable(random_core._gamma_impl) and callable(prng.random_wrap)
    assert (
        callable(linalg._lu_python) and callable(special._up_and_broadcast) and callable(linalg._tridiagonal_solve_jax)
    )
    assert callable(prng.iterated_vmap_unary) and callable(threefry2x32._threefry2x32_lowering)
    a, b = export.symbolic_shape("a, b")
    dim = 2 * a * b + (a + 1) // 2 - b % 3 + core.max_dim(a, b)
    wanted = parse_dim("2*a*b + floordiv(a+1, 2) - mod(b, 3) + max(a, b)")
    assert private._from_terms(dim, {}) == wanted
    assert private.dim_of(dim, {"a": "x"}) == substitute(wanted, {"a": symbol("x")})
    assert parse_dim(str(dim)) == wanted  # what it falls back on


def test_a_random_key_is_an_input_of_its_words() -> None:
    def noisy(params: Any, x: Any, key: Any) -> Any:
        return x @ params["w"] + jax.random.normal(key, (x.shape[0], 4))

    model = kx.capture(noisy, {"w": W}, X, jax.random.key(3))
    assert [str(value.type) for value in model.main.graph.inputs] == ["float32[batch, 3]", "uint32[2]"]
    for seed in (3, 11):
        wanted = noisy({"w": W}, X, jax.random.key(seed))
        words = np.asarray(jax.random.key_data(jax.random.key(seed)))
        np.testing.assert_allclose(run(model, X, words)[0], wanted, rtol=1e-5, atol=1e-6)
    keys = jax.random.split(jax.random.key(5), 2)
    mapped = kx.capture(lambda x, key: x + jax.random.normal(key, x.shape), X, keys, vmap=True)
    wanted = jax.vmap(lambda x, key: x + jax.random.normal(key, x.shape))(X, keys)
    np.testing.assert_allclose(run(mapped, X, np.asarray(jax.random.key_data(keys)))[0], wanted, rtol=1e-5, atol=1e-6)


def test_a_random_key_among_the_parameters_is_refused() -> None:
    with pytest.raises(CaptureError, match="random key at 'noise'"):
        kx.capture(lambda params, x: x, {"w": W, "noise": jax.random.key(0)}, X)
