"""Operators of `ai.onnx.ml`: linear models, scalers and encoders of numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.graph import PROVENANCE, Value
from kxchange.known import Array
from kxchange.types import DType
from kxchange_onnx.lift import ML, SCOPE, lift, refuse, wants
from kxchange_onnx.lift_normalization import as_type
from kxchange_onnx.trees_in import Forest, aggregated, float_or, forest_of

Floats = Sequence[float] | None
Ints = Sequence[int] | None


def _row(values: Any, dtype: Any = np.float32) -> Value:
    return SCOPE.lifter.tensor(np.asarray(values, dtype=dtype))


def transformed(scores: Value, kind: str) -> Value:
    """Scores after the transformation that classifiers and regressors may name."""
    if kind == "NONE":
        return scores
    if kind == "LOGISTIC":
        return ops.sigmoid(scores)
    if kind == "SOFTMAX":
        return ops.softmax(scores, axis=-1)
    if kind == "SOFTMAX_ZERO":
        # Scores of exactly 0 stay 0 and take no part.
        shares = ops.exp(ops.subtract(scores, ops.max(scores, axis=(-1,), keepdims=True)))
        kept = ops.where(ops.equal(scores, 0.0), 0.0, shares)
        return ops.divide(kept, ops.sum(kept, axis=(-1,), keepdims=True))
    if kind == "PROBIT":
        return ops.multiply(ops.erfinv(ops.subtract(ops.multiply(scores, 2.0), 1.0)), float(np.sqrt(2)))
    return refuse(f"its post_transform {kind!r} is unknown")


def labelled(best: Value, labels: Ints, strings: Sequence[str] | None) -> Value | None:
    """The label of each row; texts are no tensors."""
    if strings:
        return refuse("its labels are texts; give them numbers, or drop the output") if wants(0) else None
    return ops.take(_row(labels, np.int64), best, axis=0) if labels else best


@lift.rule("LinearRegressor", domain=ML)
def _(x: Value, *, coefficients: Floats, intercepts: Floats, post_transform: str, targets: int) -> Value:
    x = float_or(x)
    return transformed(_linear(x, coefficients, intercepts, targets), post_transform)


def _linear(x: Value, coefficients: Floats, intercepts: Floats, count: int) -> Value:
    """The product with [count, features] coefficients, computed in the dtype of x."""
    weight = np.asarray(coefficients or (), dtype=np.float32)
    if not count or x.ndim != 2 or weight.size != count * x.shape[1]:
        return refuse(f"its {weight.size} coefficients do not fit {count} outputs of {x.type}")
    operands = [weight.reshape(count, -1), *([np.asarray(intercepts, dtype=np.float32)] if intercepts else [])]
    return ops.linear(x, *(as_type(_row(operand), x.dtype) for operand in operands))


@lift.rule("LinearClassifier", domain=ML)
def _(
    x: Value,
    *,
    classlabels_ints: Ints,
    classlabels_strings: Sequence[str] | None,
    coefficients: Floats,
    intercepts: Floats,
    multi_class: int,
    post_transform: str,
) -> tuple[Any, ...]:
    """One row of coefficients with two labels decides between them by its sign."""
    x = float_or(x)
    count = len(intercepts or ()) or len(classlabels_ints or classlabels_strings or ())
    scores = _linear(x, coefficients, intercepts, count)
    if count > 1:
        return (
            labelled(ops.argmax(scores, axis=1), classlabels_ints, classlabels_strings),
            transformed(scores, post_transform),
        )
    positive = ops.greater(ops.squeeze(scores, axis=(1,)), 0.0)
    label = labelled(ops.astype(positive, dtype=DType.INT64), classlabels_ints, classlabels_strings)
    if post_transform == "LOGISTIC":
        share = ops.sigmoid(scores)
        return label, ops.concat(ops.subtract(1.0, share), share, axis=1)
    return label, transformed(ops.concat(ops.negative(scores), scores, axis=1), post_transform)


@lift.rule("Scaler", domain=ML)
def _(x: Value, *, offset: Floats, scale: Floats) -> Value:
    x = as_type(x, DType.FLOAT32)
    moved = ops.subtract(x, _row(offset)) if offset else x
    return ops.multiply(moved, _row(scale)) if scale else moved


@lift.rule("Normalizer", domain=ML)
def _(x: Value, *, norm: str) -> Value:
    x = as_type(x, DType.FLOAT32)
    if norm == "MAX":
        size = ops.max(x, axis=(-1,), keepdims=True)
    elif norm == "L1":
        size = ops.sum(ops.abs(x), axis=(-1,), keepdims=True)
    elif norm == "L2":
        size = ops.sqrt(ops.sum(ops.square(x), axis=(-1,), keepdims=True))
    else:
        return refuse(f"its norm {norm!r} is unknown")
    return ops.divide(x, ops.where(ops.equal(size, 0.0), 1.0, size))


@lift.rule("Imputer", domain=ML)
def _(
    x: Value,
    *,
    imputed_value_floats: Floats,
    imputed_value_int64s: Ints,
    replaced_value_float: float,
    replaced_value_int64: int,
) -> Value:
    floating = x.dtype.is_floating
    values = imputed_value_floats if floating else imputed_value_int64s
    if not values:
        return refuse("it has no values to put in")
    filler = _row(values, x.dtype.numpy)
    replaced = replaced_value_float if floating else replaced_value_int64
    here = ops.isnan(x) if replaced != replaced else ops.equal(x, replaced)
    return ops.where(here, filler, x)


@lift.rule("Binarizer", domain=ML)
def _(x: Value, *, threshold: float) -> Value:
    return ops.astype(ops.greater(x, threshold), dtype=x.dtype)


@lift.rule("ZipMap", domain=ML)
def _(x: Value, *, classlabels_int64s: Ints, classlabels_strings: Sequence[str] | None) -> Value:
    """The scores as they are: which column is which class is noted in the model's metadata."""
    labels = list(classlabels_int64s or classlabels_strings or ())
    SCOPE.lifter.notes[f"columns.{PROVENANCE.name or 'ZipMap'}"] = json.dumps(labels)
    return x


@lift.rule("FeatureVectorizer", domain=ML)
def _(*xs: Value, inputdimensions: Ints) -> Value:
    return ops.concat(*(as_type(x, DType.FLOAT32) for x in xs), axis=1)


@lift.rule("OneHotEncoder", domain=ML)
def _(x: Value, *, cats_int64s: Ints, cats_strings: Sequence[str] | None, zeros: int) -> Value:
    if cats_strings or not cats_int64s:
        return refuse("its categories are texts")
    column = ops.expand_dims(as_type(x, DType.INT64), axis=(x.ndim,))
    return ops.astype(ops.equal(column, _row(cats_int64s, np.int64)), dtype=DType.FLOAT32)


@lift.rule("LabelEncoder", domain=ML, since=2)
def _(
    x: Value,
    *,
    default_float: float,
    default_int64: int,
    default_tensor: Array | None,
    keys_floats: Floats,
    keys_int64s: Ints,
    keys_tensor: Array | None,
    values_floats: Floats,
    values_int64s: Ints,
    values_tensor: Array | None,
) -> Value:
    """Each key's value; the default for everything else. A key of NaN is found, too."""
    keys = _first(keys_tensor, (keys_floats, np.float32), (keys_int64s, np.int64))
    values = _first(values_tensor, (values_floats, np.float32), (values_int64s, np.int64))
    if keys is None or values is None or len(keys) != len(values) or keys.dtype.kind == "O":
        return refuse("it has no numbers as keys and values, one for each")
    default: Any = default_float if values.dtype.kind == "f" else default_int64
    default = default if default_tensor is None else default_tensor.reshape(-1)[0].item()
    column, table = ops.expand_dims(x, axis=(x.ndim,)), _row(keys, keys.dtype)
    same = ops.equal(column, as_type(table, x.dtype))
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        same = ops.logical_or(same, ops.logical_and(ops.isnan(column), _row(np.isnan(keys), np.bool_)))
    place = ops.argmax(ops.astype(same, dtype=DType.INT32), axis=-1)
    return ops.where(ops.any(same, axis=(-1,)), ops.take(_row(values, values.dtype), place, axis=0), default)


def _first(tensor: Array | None, *lists: tuple[Any, Any]) -> Array | None:
    if tensor is not None:
        return tensor.reshape(-1)
    return next((np.asarray(values, dtype=dtype) for values, dtype in lists if values), None)


@lift.rule("TreeEnsemble", domain=ML)
def _(
    x: Value,
    *,
    aggregate_function: int,
    leaf_targetids: Sequence[int],
    leaf_weights: Array,
    membership_values: Array | None,
    n_targets: int,
    nodes_falseleafs: Sequence[int],
    nodes_falsenodeids: Sequence[int],
    nodes_featureids: Sequence[int],
    nodes_hitrates: Array | None,
    nodes_missing_value_tracks_true: Ints,
    nodes_modes: Array,
    nodes_splits: Array,
    nodes_trueleafs: Sequence[int],
    nodes_truenodeids: Sequence[int],
    post_transform: int,
    tree_roots: Sequence[int],
) -> Value:
    """Leaves stand behind the inner nodes in one table."""
    if membership_values is not None or (nodes_modes > 5).any():
        return refuse("branching by membership in a set has no lift")
    inner, leaves = len(nodes_featureids), len(leaf_targetids)
    own = np.arange(inner, inner + leaves)
    behind = [
        np.concatenate([np.asarray(ids) + inner * np.asarray(flags), own])
        for ids, flags in ((nodes_truenodeids, nodes_trueleafs), (nodes_falsenodeids, nodes_falseleafs))
    ]
    table = np.zeros((inner + leaves, n_targets), dtype=leaf_weights.dtype)
    table[own, np.asarray(leaf_targetids)] = leaf_weights
    present = np.zeros(table.shape, dtype=np.bool_)
    present[own, np.asarray(leaf_targetids)] = True
    filled = [
        np.concatenate([np.asarray(values), np.full(leaves, np.asarray(values)[0])])
        for values in (nodes_featureids, nodes_splits, nodes_modes, nodes_missing_value_tracks_true or (0,) * inner)
    ]
    forest = Forest(np.asarray(tree_roots), *filled[:3], *behind, filled[3], table, present)  # pyright: ignore[reportCallIssue]
    scores = aggregated(x, forest, ("AVERAGE", "SUM", "MIN", "MAX")[aggregate_function])
    kinds = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
    return transformed(scores, kinds[post_transform])


def _nodes(given: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the nodes without their prefix; thresholds from either form."""
    nodes = {key.removeprefix("nodes_"): value for key, value in given.items() if key.startswith("nodes_")}
    stated = nodes.pop("values_as_tensor", None)
    nodes["values"] = np.asarray(nodes["values"], dtype=np.float32) if stated is None else stated
    return nodes


def _numbers(values: Floats, tensor: Array | None) -> Array:
    return np.asarray(values or (), dtype=np.float32) if tensor is None else tensor


def regressor(
    x: Value, given: dict[str, Any], *, aggregate_function: str, n_targets: int, post_transform: str
) -> Value:
    """Sum, mean or extremum over trees, and what stands there from the beginning."""
    weights = _numbers(given["target_weights"], given.get("target_weights_as_tensor"))
    ids = given["target_treeids"], given["target_nodeids"], given["target_ids"]
    x = float_or(x)
    scores = aggregated(x, forest_of(_nodes(given), ids, weights, n_targets), aggregate_function)
    base = _numbers(given["base_values"], given.get("base_values_as_tensor"))
    scores = scores if not base.size else ops.add(scores, _row(base, base.dtype))
    return transformed(scores, post_transform)


def classifier(x: Value, given: dict[str, Any], labels: Ints, strings: Any, post_transform: str) -> tuple[Any, ...]:
    """Scores per class; where there are two, and all weights are of class 0, they are those of the second."""
    weights = _numbers(given["class_weights"], given.get("class_weights_as_tensor"))
    ids, x = given["class_ids"], float_or(x)
    count = len(labels or strings or ())
    single = count == 2 and set(ids) == {0}
    if single and post_transform not in ("NONE", "LOGISTIC"):
        return refuse(f"one score for two classes with the transformation {post_transform} has no lift")
    positive = bool((weights >= 0).all())
    if count == 2 and set(ids) == {1} and positive:
        return refuse(
            "its weights are all of class 1 of two, where onnx's reference and ONNX Runtime label differently"
        )
    places = given["class_treeids"], given["class_nodeids"], ids
    scores = aggregated(x, forest_of(_nodes(given), places, weights, 1 if single else count), "SUM")
    base = _numbers(given["base_values"], given.get("base_values_as_tensor"))
    if base.size:
        scores = ops.add(scores, _row(base[-1:] if single else base, base.dtype))
    if not single:
        return labelled(ops.argmax(scores, axis=1), labels, strings), transformed(scores, post_transform)
    chosen = ops.greater(ops.squeeze(scores, axis=(1,)), 0.5 if positive else 0.0)
    label = labelled(ops.astype(chosen, dtype=DType.INT64), labels, strings)
    if positive and post_transform == "NONE":
        return label, ops.concat(ops.subtract(1.0, scores), scores, axis=1)
    both = ops.concat(ops.negative(scores), scores, axis=1)
    return label, transformed(both, post_transform)
