"""The older tree ensembles of `ai.onnx.ml`, whose attributes name nodes by tree and number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange.graph import Value
from kxchange.known import Array
from kxchange_onnx.lift import ML, lift
from kxchange_onnx.lift_ml import classifier, regressor

Floats = Sequence[float] | None
Ints = Sequence[int] | None


@lift.rule("TreeEnsembleRegressor", domain=ML)
def _(
    x: Value,
    *,
    aggregate_function: str,
    base_values: Floats,
    base_values_as_tensor: Array | None,
    n_targets: int,
    nodes_falsenodeids: Sequence[int],
    nodes_featureids: Sequence[int],
    nodes_hitrates: Floats,
    nodes_hitrates_as_tensor: Array | None,
    nodes_missing_value_tracks_true: Ints,
    nodes_modes: Sequence[str],
    nodes_nodeids: Sequence[int],
    nodes_treeids: Sequence[int],
    nodes_truenodeids: Sequence[int],
    nodes_values: Floats,
    nodes_values_as_tensor: Array | None,
    post_transform: str,
    target_ids: Sequence[int],
    target_nodeids: Sequence[int],
    target_treeids: Sequence[int],
    target_weights: Floats,
    target_weights_as_tensor: Array | None,
) -> Value:
    given: dict[str, Any] = dict(locals())
    return regressor(
        x, given, aggregate_function=aggregate_function, n_targets=n_targets, post_transform=post_transform
    )


@lift.rule("TreeEnsembleClassifier", domain=ML)
def _(
    x: Value,
    *,
    base_values: Floats,
    base_values_as_tensor: Array | None,
    class_ids: Sequence[int],
    class_nodeids: Sequence[int],
    class_treeids: Sequence[int],
    class_weights: Floats,
    class_weights_as_tensor: Array | None,
    classlabels_int64s: Ints,
    classlabels_strings: Sequence[str] | None,
    nodes_falsenodeids: Sequence[int],
    nodes_featureids: Sequence[int],
    nodes_hitrates: Floats,
    nodes_hitrates_as_tensor: Array | None,
    nodes_missing_value_tracks_true: Ints,
    nodes_modes: Sequence[str],
    nodes_nodeids: Sequence[int],
    nodes_treeids: Sequence[int],
    nodes_truenodeids: Sequence[int],
    nodes_values: Floats,
    nodes_values_as_tensor: Array | None,
    post_transform: str,
) -> tuple[Any, ...]:
    given: dict[str, Any] = dict(locals())
    return classifier(x, given, classlabels_int64s, classlabels_strings, post_transform)
