"""NonMaxSuppression."""

from __future__ import annotations

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import DType, TensorType
from kxchange_onnx.lift import lift
from kxchange_onnx.lift_indexing import picked

INT = DType.INT64


@lift.rule("NonMaxSuppression")
def _(
    boxes: Value,
    scores: Value,
    most: Value | None,
    iou_threshold: Value | None,
    score_threshold: Value | None,
    *,
    center_point_box: int,
) -> Value:
    """Of boxes in falling order of score, each that no kept one before it overlaps too much, up to `most` per class."""
    count = boxes.shape[1]
    order = ops.argsort(scores, axis=2, descending=True)
    ranked = ops.take_along_axis(scores, order, axis=2)
    sides = [_ranked(side, scores, order) for side in _sides(boxes, bool(center_point_box))]
    overlap = _overlaps(sides)
    limit = ops.full(shape=(), value=0.0, dtype=boxes.dtype) if iou_threshold is None else _rank0(iou_threshold)
    suppressed = ops.logical_and(ops.greater(overlap, limit), _later(count))
    if score_threshold is None:
        alive = ops.full(shape=ranked.shape, value=True, dtype=DType.BOOL)
    else:
        alive = ops.greater(ranked, _rank0(score_threshold))
    kept = _greedy(alive, suppressed, count)
    allowed = ops.full(shape=(), value=0, dtype=INT) if most is None else _rank0(ops.astype(most, dtype=INT))
    number = ops.cumulative_sum(ops.astype(kept, dtype=INT), axis=2)
    chosen = ops.logical_and(kept, ops.less_equal(number, allowed))
    places = ops.nonzero(chosen)
    index = ops.expand_dims(ops.gather_nd(order, places), axis=(1,))
    return ops.concat(ops.slice(places, starts=(0,), stops=(2,), steps=(1,), axes=(1,)), index, axis=1)


def _rank0(value: Value) -> Value:
    return ops.reshape(value, shape=()) if value.ndim else value


def _sides(boxes: Value, centered: bool) -> list[Value]:
    """Lower and upper ends on both axes, [batch, boxes]; corners may be given in any order."""
    a, b, c, d = (picked(boxes, part, 2) for part in range(4))
    if centered:
        half = [ops.multiply(extent, 0.5) for extent in (c, d)]
        low = [ops.subtract(middle, h) for middle, h in zip((a, b), half, strict=True)]
        return [*low, *(ops.add(middle, h) for middle, h in zip((a, b), half, strict=True))]
    return [ops.minimum(a, c), ops.minimum(b, d), ops.maximum(a, c), ops.maximum(b, d)]


def _ranked(side: Value, scores: Value, order: Value) -> Value:
    """A side of every box in the order of the scores of each class."""
    spread = ops.broadcast_to(ops.expand_dims(side, axis=(1,)), shape=scores.shape)
    return ops.take_along_axis(spread, order, axis=2)


def _overlaps(sides: list[Value]) -> Value:
    """Area of the intersection over that of the union, of each pair of boxes."""
    low_y, low_x, high_y, high_x = sides
    rows = [ops.expand_dims(side, axis=(3,)) for side in sides]
    columns = [ops.expand_dims(side, axis=(2,)) for side in sides]
    height = ops.subtract(ops.minimum(rows[2], columns[2]), ops.maximum(rows[0], columns[0]))
    width = ops.subtract(ops.minimum(rows[3], columns[3]), ops.maximum(rows[1], columns[1]))
    common = ops.multiply(ops.maximum(height, 0.0), ops.maximum(width, 0.0))
    area = ops.multiply(ops.subtract(high_y, low_y), ops.subtract(high_x, low_x))
    union = ops.subtract(ops.add(ops.expand_dims(area, axis=(3,)), ops.expand_dims(area, axis=(2,))), common)
    empty = ops.less_equal(union, 0.0)
    return ops.where(empty, 0.0, ops.divide(common, ops.where(empty, 1.0, union)))


def _later(count: Dim) -> Value:
    """Bool [boxes, boxes]: the second stands behind the first."""
    places = ops.arange(start=0, stop=count, dtype=INT)
    return ops.greater(places, ops.expand_dims(places, axis=(1,)))


def _greedy(alive: Value, suppressed: Value, count: Dim) -> Value:
    """Go through the boxes in order; each that is still alive puts out those that it suppresses."""
    by_box = ops.permute_dims(suppressed, axes=(2, 0, 1, 3))
    chosen = ops.equal(
        ops.expand_dims(ops.arange(start=0, stop=count, dtype=INT), axis=(1,)),
        ops.arange(start=0, stop=count, dtype=INT),
    )
    state = placeholder("alive", alive.type)
    here = placeholder("here", TensorType(DType.BOOL, (count,)))
    victims = placeholder("victims", by_box.type.with_shape(by_box.shape[1:]))
    keeps = ops.any(ops.logical_and(state, here), axis=(2,), keepdims=True)
    after = ops.logical_and(state, ops.logical_not(ops.logical_and(keeps, victims)))
    body = Graph((state, here, victims), (after,))
    return ops.scan(alive, chosen, by_box, body=body, num_consts=0, num_carry=1, length=count)
