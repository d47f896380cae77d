"""Dense layers, attention and rotary embeddings, dissolved and whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import reduce

from kxchange.graph import Value
from kxchange.ops.attention import rotary_embedding, scaled_dot_product_attention
from kxchange.ops.creation import full
from kxchange.ops.elementwise import add, logical_and, logical_not, where
from kxchange.ops.linalg import linear
from kxchange.ops.manipulation import permute_dims
from kxchange.passes.recompose_catalogue import Composite, derived
from kxchange.passes.recompose_found import Found, Unrealizable, realise, realise_broadcast
from kxchange.passes.recompose_match import Pattern
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_terms import Term, Terms
from kxchange.types import DType


def products() -> list[Composite]:
    """Dense layers, attention, rotary embeddings."""
    product: Pattern = ("matmul", "?x", "?weight")
    dense: Pattern = ("linear", ("any", ("reshape", "?x"), ("view", "?x")), "?weight", "?bias")
    return [
        Composite("linear", (product, ("add", product, "?bias")), _linear),
        Composite("linear", (("reshape", dense), ("view", dense)), _flattened_linear),
        Composite("scaled_dot_product_attention", (("matmul", _weights(), "?value"),), _attention),
        Composite(
            "scaled_dot_product_attention",
            (("matmul", "?value", ("permute_dims", _weights())),),
            lambda found: _attention(found, turned=True),
        ),
        *_rotaries(),
    ]


def _linear(found: Found) -> Value:
    """``x @ weight.T + bias``; the weight must be made of parameters, or two activations would be a layer."""
    weight = found.term("weight")
    if len(weight.shape) != 2 or not found.is_static(weight):
        raise Unrealizable("the weight is no matrix of parameters.")
    bias = found.term("bias") if found.has("bias") else None
    if bias is not None and not found.is_static(bias):
        raise Unrealizable("the bias is no parameter.")
    vector = None if bias is None else found.shaped("bias", (weight.shape[1],))
    return linear(found.value("x"), _transposed(weight, found.normal), vector)


def _transposed(term: Term, normal: Normal) -> Value:
    """The value with its last two axes exchanged, without a transpose where there already is one."""
    rank = len(term.shape)
    return realise(normal.terms.permute(term, (*range(rank - 2), rank - 1, rank - 2)))


def _flattened_linear(found: Found) -> Value:
    """A dense layer with the leading axes joined before it and taken apart behind it."""
    bias = None if found.term("bias").head == "none" else found.value("bias")
    return linear(found.value("x"), found.value("weight"), bias)


def _weights() -> Pattern:
    """Softmax of scores, guarded or not, dropped out or not."""
    soft: Pattern = ("softmax", "?scores", "@axis")
    # The spec's own form gives 0 in rows that may see no key.
    blocked: Pattern = ("equal", ("max", "?scores"), -math.inf)
    guarded: Pattern = ("where", blocked, 0.0, ("softmax", ("where", blocked, 0.0, "?scores"), "@axis"))
    weights: Pattern = ("any", soft, guarded)
    return ("any", weights, ("dropout", weights))


@dataclass
class Scores:
    """What attention scores are made of.

    Attributes:
        query: Left factor.
        transposed_key: Right factor, [..., head_dim, key_length].
        scale: Number in front of the product.
        bias: Additive masks.
        allowed: Boolean masks, True where a key is seen; the others are minus infinity.
    """

    query: Term
    transposed_key: Term
    scale: float = 1.0
    bias: list[Value] = field(default_factory=list[Value])
    allowed: list[Value] = field(default_factory=list[Value])

    def mask(self) -> Value | None:
        """All masks in one: boolean if they all are, else additive."""
        if not self.bias:
            return reduce(logical_and, self.allowed) if self.allowed else None
        dtype = self.bias[0].dtype
        return reduce(add, [*self.bias, *(additive(mask, -math.inf, dtype, negated=False) for mask in self.allowed)])


def additive(mask: Value, lowest: float, dtype: DType, *, negated: bool) -> Value:
    """A boolean mask as an additive one: 0 where a key is seen, `lowest` elsewhere."""
    zero, low = (full(shape=(), value=number, dtype=dtype) for number in (0.0, lowest))
    return where(mask, low, zero) if negated else where(mask, zero, low)


class ScoreParser:
    """Takes scores apart: masks from the outside in, then the scale, then the product."""

    def __init__(self, terms: Terms, rank: int) -> None:
        self.terms = terms
        self.rank = rank

    def parse(self, term: Term) -> Scores:
        """The parts of a score term.

        Raises:
            Unrealizable: It is none.
        """
        if term.head == "matmul":
            scale, query = self._without_factor(term.args[0])
            factor, key = self._without_factor(term.args[1])
            return Scores(query, key, scale * factor)
        if term.head == "scaled":
            return self._scaled(term)
        if term.head == "add":
            return self._biased(term)
        if term.head == "where":
            return self._selected(term)
        raise Unrealizable(f"{term.head} makes no scores.")

    def _without_factor(self, term: Term) -> tuple[float, Term]:
        """The number in front of a factor, and the rest; a transpose may stand between."""
        if term.head == "scaled":
            return term.data[0], term.args[0]
        if term.head == "permute_dims" and term.args[0].head == "scaled":
            inner = term.args[0]
            return inner.data[0], self.terms.permute(inner.args[0], term.data[0])
        return 1.0, term

    def _scaled(self, term: Term) -> Scores:
        found = self.parse(term.args[0])
        if found.bias or found.allowed:
            raise Unrealizable("the mask is scaled, too.")
        found.scale *= term.data[0]
        return found

    def _biased(self, term: Term) -> Scores:
        """A sum of scores and additive masks."""
        makers = [arg for arg in term.args if _holds_product(arg)]
        if len(makers) != 1:
            raise Unrealizable("no one operand of the sum makes the scores.")
        found = self.parse(makers[0])
        found.bias += [realise_broadcast(arg, self.rank) for arg in term.args if arg is not makers[0]]
        return found

    def _selected(self, term: Term) -> Scores:
        """Scores where a mask holds, a number elsewhere."""
        condition, first, second = term.args
        negated = first.head == "const"
        number, inner = (first, second) if negated else (second, first)
        if number.head != "const":
            raise Unrealizable("masked scores are no number.")
        found = self.parse(inner)
        mask = realise_broadcast(condition, self.rank)
        if number.data[0] == -math.inf:
            found.allowed.append(logical_not(mask) if negated else mask)
        else:
            # A row that sees no key becomes uniform by a finite number, and stays so when it is added.
            found.bias.append(additive(mask, number.data[0], inner.dtype, negated=negated))
        return found


def _holds_product(term: Term) -> bool:
    """Whether a term is a product of matrices below masks and scales."""
    makers = ("scaled", "where", "add")
    while term.head in makers:
        inner = [arg for arg in term.args if arg.head in (*makers, "matmul")]
        if len(inner) != 1:
            return False
        term = inner[0]
    return term.head == "matmul"


def _attention(found: Found, *, turned: bool = False) -> Value:
    """Attention; of ``values.T @ weights.T``, turned."""
    term = found.term("scores")
    rank = len(term.shape)
    if found.names["@axis"] != rank - 1:
        raise Unrealizable("the softmax is not over the keys.")
    scores = ScoreParser(found.normal.terms, rank).parse(term)
    query, key = realise(scores.query), _transposed(scores.transposed_key, found.normal)
    if not turned:
        return scaled_dot_product_attention(query, key, found.value("value"), scores.mask(), scale=scores.scale)
    value = _transposed(found.term("value"), found.normal)
    result = scaled_dot_product_attention(query, key, value, scores.mask(), scale=scores.scale)
    return permute_dims(result, axes=(*range(rank - 2), rank - 1, rank - 2))


def _rotaries() -> list[Composite]:
    operands = {"x": "float32[b, h, s, 8]", "cos": "float32[s, 8]", "sin": "float32[s, 8]"}
    halves: Pattern = ("concat", ("scaled", ("slice", "?x"), -1.0), ("slice", "?x"))
    sliced: Pattern = ("add", ("mul", halves, "?sin"), ("mul", "?x", "?cos"))
    split, pairs = (derived("rotary_embedding", operands, interleaved=interleaved) for interleaved in (False, True))
    return [
        Composite("rotary_embedding", (split, sliced), lambda m: _rotary(m, interleaved=False)),
        Composite("rotary_embedding", (pairs,), lambda m: _rotary(m, interleaved=True)),
    ]


def _rotary(found: Found, *, interleaved: bool) -> Value:
    x = found.like_root("x")
    cos, sin = (realise_broadcast(found.term(name), x.ndim) for name in ("cos", "sin"))
    return rotary_embedding(x, cos, sin, interleaved=interleaved)
