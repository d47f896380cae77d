"""Dense layers, embeddings, and layers that do nothing at inference."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, Traced, cast
from kxchange_keras.lift_activation import activate
from kxchange_keras.registry import having, layer, refuse_layers

BIAS = having("bias", "use_bias")


def floating(call: Call, x: Value) -> Value:
    """X in the layer's dtype; Keras promotes whole numbers beside floating weights."""
    return cast(x, call.dtype)


@layer("Dense", weights=("kernel", BIAS), mask="keep")
def _(call: Call, x: Value) -> Value:
    kernel = ops.permute_dims(call.weight("kernel"), axes=(1, 0))
    y = ops.linear(floating(call, x), kernel, call.optional("bias"))
    return activate(call, y, call.option("activation", None))


@layer("EinsumDense", weights=("kernel", having("bias", "bias_axes", default=False)))
def _(call: Call, x: Value) -> Value:
    y = einsum_dense(floating(call, x), call.weight("kernel"), str(call.option("equation")))
    if call.has("bias"):
        y = ops.add(y, call.weight("bias"))
    return activate(call, y, call.option("activation", None))


def einsum_dense(x: Value, kernel: Value, equation: str) -> Value:
    """The product of an EinsumDense: its ellipsis spelled out."""
    return ops.einsum(x, kernel, equation=spelled_out(equation, [x.ndim, kernel.ndim]))


def spelled_out(equation: str, ranks: list[int]) -> str:
    """An einsum equation without spaces, with letters for its ellipsis and an explicit result."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if letter not in equation]
    widest = max((rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)), default=0)
    letters = "".join(free[:widest])
    spelled = [
        term.replace("...", letters[widest - (rank - len(term.replace("...", ""))) :] if "..." in term else "")
        for term, rank in zip(terms, ranks, strict=True)
    ]
    if not arrow:
        joined = "".join(terms).replace("...", "")
        output = ("..." if "..." in inputs else "") + "".join(sorted(x for x in set(joined) if joined.count(x) == 1))
    return f"{','.join(spelled)}->{output.replace('...', letters)}"


def _embedding_mask(call: Call) -> Value | None:
    tokens = call.args[0]
    if not call.option("mask_zero", False) or not isinstance(tokens, Traced):
        return None
    return ops.not_equal(tokens.value, 0)


def look_up(call: Call, tokens: Value) -> Value:
    """Rows of the embedding."""
    if tokens.dtype not in (DType.INT32, DType.INT64):
        tokens = ops.astype(tokens, dtype=DType.INT32)
    return ops.embedding(call.weight("embeddings"), tokens)


@layer("Embedding", weights=("embeddings",), mask=_embedding_mask)
def _(call: Call, tokens: Value) -> Value:
    return look_up(call, tokens)


def _reversible_mask(call: Call) -> Value | None:
    return None if call.kwargs.get("reverse") or len(call.args) > 1 else _embedding_mask(call)


@layer(
    "ReversibleEmbedding",
    weights=lambda config: [
        having("embeddings", "", default=True),
        *([] if config.options.get("tie_weights", True) else [having("reverse_embeddings", "", default=True)]),
    ],
    mask=_reversible_mask,
)
def _(call: Call, x: Value, reverse: bool = False) -> Value:
    if not reverse:
        return look_up(call, x)
    kernel = call.optional("reverse_embeddings") if call.has("reverse_embeddings") else None
    weight = call.weight("embeddings") if kernel is None else ops.permute_dims(kernel, axes=(1, 0))
    if stated := call.option("reverse_dtype", None):
        x, weight = cast(x, DType(stated)), cast(weight, DType(stated))
    logits = ops.linear(x, weight)
    cap = call.option("logit_soft_cap", None)
    if cap is None:
        return logits
    return ops.multiply(ops.tanh(ops.divide(logits, float(cap))), float(cap))


@layer("InputLayer", "Identity", "ActivityRegularization", mask="keep")
def _(call: Call, x: Any) -> Any:
    return x


@layer("GaussianNoise", "GaussianDropout", "AlphaDropout", mask="keep")
def _(call: Call, x: Value) -> Value:
    return x


@layer("Dropout", mask="keep")
def _(call: Call, x: Value) -> Value:
    return _dropped(call, x)


@layer("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", mask="keep")
def _(call: Call, x: Value) -> Value:
    return x


def _dropped(call: Call, x: Value) -> Value:
    rate = float(call.option("rate", call.option("p", 0.0)))
    if rate == 0 or not x.dtype.is_floating or call.option("noise_shape", None) is not None:
        return x
    return ops.dropout(x, rate=rate)


def _masking_mask(call: Call) -> Value:
    return ops.any(_differs(call, call.args[0].value), axis=(-1,))


def _differs(call: Call, x: Value) -> Value:
    found = call.option("mask_value", 0.0)
    if isinstance(found, dict):
        from kxchange_keras.decoding import decode

        found = decode(found).item()
    return ops.not_equal(x, float(found) if x.dtype.is_floating else int(found))


@layer("Masking", mask=_masking_mask)
def _(call: Call, x: Value) -> Value:
    kept = ops.any(_differs(call, x), axis=(-1,), keepdims=True)
    return ops.multiply(x, ops.astype(kept, dtype=x.dtype))


@layer("LayerScale", weights=("gamma",))
def _(call: Call, x: Value) -> Value:
    """The layer that ConvNeXt of `keras.applications` adds to Keras."""
    return ops.multiply(x, call.weight("gamma"))


@layer("CustomScaleLayer")
def _(call: Call, inputs: Any) -> Value:
    """The layer that InceptionResNetV2 of `keras.applications` adds to Keras."""
    first, second = inputs
    return ops.add(first, ops.multiply(second, float(call.option("scale"))))


refuse_layers("it runs Python code that the file holds", "Lambda")
refuse_layers("it loads another file and runs what is in it", "TFSMLayer")
refuse_layers("it wraps code of another framework", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")
refuse_layers(
    "it turns text or identifiers into numbers with a table or a hash that is no tensor",
    "StringLookup",
    "IntegerLookup",
    "TextVectorization",
    "Hashing",
    "HashedCrossing",
    "FeatureSpace",
)
