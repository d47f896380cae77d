"""Operators of ai.onnx.ml, against ONNX Runtime, and trees against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor

import kxchange as kx
from kxchange.errors import UnsupportedOpError
from tests.onnx_nodes import agree, node_model, run_ours

pytestmark = pytest.mark.onnx
ML = "ai.onnx.ml"
RNG = np.random.default_rng(5)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def check(op: str, inputs: dict[str, Any], attributes: dict[str, Any], **options: Any) -> None:
    agree(node_model(op, inputs, attributes, domain=ML, **options), inputs)


def nodes_of(forest: list[Any]) -> dict[str, Any]:
    """The ``nodes_*`` attributes of scikit-learn's trees."""
    rows: dict[str, list[Any]] = {
        key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    for tree, fitted in enumerate(forest):
        t = fitted.tree_
        for node in range(t.node_count):
            leaf = t.children_left[node] < 0
            rows["treeids"].append(tree)
            rows["nodeids"].append(node)
            rows["featureids"].append(0 if leaf else int(t.feature[node]))
            rows["values"].append(0.0 if leaf else float(t.threshold[node]))
            rows["modes"].append("LEAF" if leaf else "BRANCH_LEQ")
            rows["truenodeids"].append(0 if leaf else int(t.children_left[node]))
            rows["falsenodeids"].append(0 if leaf else int(t.children_right[node]))
    return {f"nodes_{key}": value for key, value in rows.items()}


def leaves_of(forest: list[Any], weights: Any) -> tuple[list[int], list[int], list[int], list[float]]:
    """Tree, node, target and weight of every leaf; `weights` gives those of one node."""
    trees, nodes, targets, values = [], [], [], []
    for tree, fitted in enumerate(forest):
        for node in np.flatnonzero(fitted.tree_.children_left < 0):
            for target, weight in enumerate(weights(fitted.tree_, node)):
                trees.append(tree)
                nodes.append(int(node))
                targets.append(target)
                values.append(float(weight))
    return trees, nodes, targets, values


def test_random_forest_regressor_is_that_of_scikit_learn() -> None:
    x, y = normal(60, 4), normal(60)
    forest = RandomForestRegressor(5, max_depth=4, random_state=0).fit(x, y)
    trees, nodes, targets, values = leaves_of(forest.estimators_, lambda tree, node: tree.value[node, :, 0] / 5)
    attributes = nodes_of(forest.estimators_) | {
        "n_targets": 1,
        "target_treeids": trees,
        "target_nodeids": nodes,
        "target_ids": targets,
        "target_weights": values,
    }
    model = node_model("TreeEnsembleRegressor", {"x": x}, attributes, domain=ML)
    (found,) = run_ours(model, {"x": x})
    np.testing.assert_allclose(found[:, 0], forest.predict(x), rtol=1e-5, atol=1e-5)
    agree(model, {"x": x})


@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_aggregates(how: str) -> None:
    x, y = normal(40, 3), normal(40)
    forest = RandomForestRegressor(3, max_depth=2, random_state=0).fit(x, y).estimators_
    trees, nodes, targets, values = leaves_of(forest, lambda tree, node: tree.value[node, :, 0])
    attributes = nodes_of(forest) | {"n_targets": 1, "aggregate_function": how, "target_weights": values}
    attributes |= {"target_treeids": trees, "target_nodeids": nodes, "target_ids": targets}
    check("TreeEnsembleRegressor", {"x": x}, attributes)


def test_random_forest_classifier() -> None:
    x = normal(60, 4)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    forest = RandomForestClassifier(4, max_depth=3, random_state=0).fit(x, y)
    trees, nodes, classes, values = leaves_of(
        forest.estimators_, lambda tree, node: tree.value[node, 0] / tree.value[node, 0].sum() / 4
    )
    attributes = nodes_of(forest.estimators_) | {"class_treeids": trees, "class_nodeids": nodes, "class_ids": classes}
    attributes |= {"class_weights": values, "classlabels_int64s": [10, 20, 30]}
    model = node_model("TreeEnsembleClassifier", {"x": x}, attributes, domain=ML, outputs=("label", "p"))
    label, share = run_ours(model, {"x": x})
    np.testing.assert_array_equal(label, (forest.predict(x) + 1) * 10)
    np.testing.assert_allclose(share, forest.predict_proba(x), rtol=1e-5, atol=1e-6)
    agree(model, {"x": x})


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
@pytest.mark.parametrize(("class_id", "positive"), [(0, False), (0, True), (1, False)])
def test_binary_boosting(transform: str, class_id: int, positive: bool) -> None:
    x = normal(60, 3)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    boosted = GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0).fit(x, y)
    forest = list(boosted.estimators_[:, 0])
    trees, nodes, _, values = leaves_of(forest, lambda tree, node: tree.value[node, :, 0])
    attributes = nodes_of(forest) | {
        "class_treeids": trees,
        "class_nodeids": nodes,
        "class_ids": [class_id] * len(trees),
    }
    attributes |= {"class_weights": [abs(v) / 10 for v in values] if positive else values, "classlabels_int64s": [0, 1]}
    attributes["post_transform"] = transform
    check("TreeEnsembleClassifier", {"x": x}, attributes, outputs=("label", "p"))


def test_labels_that_are_texts_are_refused() -> None:
    x = normal(2, 3)
    attributes = {"coefficients": [1.0] * 6, "intercepts": [0.0, 0.0], "classlabels_strings": ["a", "b"]}
    model = node_model("LinearClassifier", {"x": x}, attributes, domain=ML, outputs=("label", "p"))
    with pytest.raises(UnsupportedOpError, match="texts"):
        run_ours(model, {"x": x})


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_linear_classifier(transform: str) -> None:
    attributes = {"coefficients": [float(v) for v in normal(9)], "intercepts": [0.1, 0.2, 0.3]}
    attributes |= {"classlabels_ints": [5, 6, 7], "post_transform": transform, "multi_class": 1}
    check("LinearClassifier", {"x": normal(4, 3)}, attributes, outputs=("label", "p"))


def test_linear_regressor() -> None:
    attributes = {"coefficients": [float(v) for v in normal(6)], "intercepts": [0.5, -0.5], "targets": 2}
    check("LinearRegressor", {"x": normal(4, 3)}, attributes)


def test_scaler() -> None:
    check("Scaler", {"x": normal(4, 3)}, {"offset": [0.1, 0.2, 0.3], "scale": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_normalizer(norm: str) -> None:
    check("Normalizer", {"x": np.abs(normal(4, 3))}, {"norm": norm})


def test_imputer() -> None:
    x = np.array([[np.nan, 1.0], [2.0, np.nan]], np.float32)
    check("Imputer", {"x": x}, {"imputed_value_floats": [7.0, 8.0], "replaced_value_float": float("nan")})


def test_binarizer() -> None:
    check("Binarizer", {"x": normal(4, 3)}, {"threshold": 0.25})


def test_one_hot_encoder() -> None:
    check("OneHotEncoder", {"x": np.array([3, 1, 4], np.int64)}, {"cats_int64s": [1, 3]})


def test_label_encoder() -> None:
    attributes = {"keys_int64s": [3, 1], "values_floats": [0.5, 1.5], "default_float": -2.0}
    check("LabelEncoder", {"x": np.array([3, 1, 4], np.int64)}, attributes, version=2)


@pytest.mark.parametrize(("kind", "params"), [("RBF", [0.3, 0, 0]), ("POLY", [0.5, 1, 3]), ("SIGMOID", [0.2, 0.1, 0])])
@pytest.mark.parametrize("one_class", [0, 1])
def test_support_vector_regressor(kind: str, params: list[float], one_class: int) -> None:
    attributes = {
        "coefficients": normal(5).tolist(),
        "kernel_params": [float(p) for p in params],
        "kernel_type": kind,
        "n_supports": 5,
        "one_class": one_class,
        "post_transform": "NONE",
        "rho": [0.25],
        "support_vectors": normal(5, 3).reshape(-1).tolist(),
    }
    check("SVMRegressor", {"x": normal(7, 3)}, attributes)


def test_support_vector_regressor_without_vectors_is_linear() -> None:
    attributes: dict[str, Any] = {
        "coefficients": [0.5, -1.0, 2.0],
        "kernel_params": [0.0, 0.0, 0.0],
        "kernel_type": "LINEAR",
        "rho": [0.25],
    }
    check("SVMRegressor", {"x": normal(4, 3)}, attributes)


def test_a_zip_map_gives_the_scores_and_notes_their_columns() -> None:
    """What scikit-learn's converter puts behind every classifier: a list of maps from label to score."""
    x = normal(4, 3)
    node = onnx.helper.make_node("ZipMap", ["x"], ["y"], name="zip", domain=ML, classlabels_int64s=[3, 5, 7])
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3])
    graph = onnx.helper.make_graph([node], "g", [info], [onnx.ValueInfoProto(name="y")])
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(ML, 1)]
    model = kx.capture(onnx.helper.make_model(graph, opset_imports=imports, ir_version=10))
    np.testing.assert_array_equal(model(x=x)["y"], x)
    assert model.metadata["columns.zip"] == "[3, 5, 7]"
