"""Live functions of TensorFlow in: what people write in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import kxchange as kx  # noqa: E402

pytestmark = pytest.mark.tensorflow


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_variables_of_one_name_stay_apart() -> None:
    """A function over layers has many a variable called ``kernel``; some are of one shape too."""
    first, second = (tf.Variable(normal(3, 3, seed=seed), name="kernel") for seed in (1, 2))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def function(x: Any) -> Any:
        return tf.tanh(x @ first) @ second

    model, x = kx.capture(function), normal(4, 3)
    assert sorted(model.parameters) == ["kernel", "kernel#1"]
    np.testing.assert_allclose(
        next(iter(model(**{model.input_names[0]: x}).values())), function(x).numpy(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "pick",
    [
        lambda x, i: x[:, i],
        lambda x, i: x[..., i],
        lambda x, i: x[i, :, i],
        lambda x, i: x[i, ..., ::2],
        lambda x, i: x[-1 - i],
    ],
)
def test_an_index_that_is_computed(pick: Any) -> None:
    function = tf.function(lambda x, i: pick(x, i)).get_concrete_function(
        tf.TensorSpec([3, 4, 5], tf.float32), tf.TensorSpec([], tf.int32)
    )
    model, x = kx.capture(function), normal(3, 4, 5)
    for place in (0, 2):
        i = np.int32(place)
        found = model(**dict(zip(model.input_names, (x, i), strict=True)))
        np.testing.assert_array_equal(next(iter(found.values())), pick(x, place))


def test_a_loop_over_time() -> None:
    weight = tf.Variable(normal(3, 3), name="weight")

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 3], tf.float32)])
    def function(x: Any) -> Any:
        state = tf.zeros([tf.shape(x)[0], 3])
        kept = tf.TensorArray(tf.float32, size=4)
        for step in tf.range(4):
            state = tf.tanh(state + x[:, step] @ weight)
            kept = kept.write(step, state)
        return tf.transpose(kept.stack(), [1, 0, 2])

    model = kx.capture(function)
    for rows in (1, 3):
        x = normal(rows, 4, 3, seed=rows)
        found = next(iter(model(**{model.input_names[0]: x}).values()))
        np.testing.assert_allclose(found, function(x).numpy(), rtol=1e-5, atol=1e-6)


def test_a_variable_that_is_read_after_it_is_written() -> None:
    count = tf.Variable(0.0, name="count")

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32)])
    def function(x: Any) -> Any:
        count.assign_add(tf.reduce_sum(x))
        return x + count

    with pytest.raises(kx.KxchangeError, match="reads it again"):
        kx.capture(function)
