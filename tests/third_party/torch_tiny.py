"""A tiny random model of any Hugging Face model type, and inputs that it takes: rules by field name, none by model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import nn
from transformers.models.auto import configuration_auto, modeling_auto

BATCH, SEQ, SIDE, FRAMES = 2, 9, 32, 4
VOCABULARY, HEADS, HEAD_DIM, WIDTH = 100, 4, 8, 32
LARGEST = 12_000_000
"""Parameters of a model that is still tiny."""


@dataclass(frozen=True)
class Tiny:
    """A module with inputs by name, and options of its call that are no tensors."""

    module: nn.Module
    inputs: dict[str, torch.Tensor]
    options: dict[str, Any]

    def plans(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The `dynamic` argument with most symbolic sizes first, each with what it is called."""
        texts = {n: x for n, x in self.inputs.items() if x.ndim >= 2 and x.shape[:2] == (BATCH, SEQ)}
        batches = {name: x for name, x in self.inputs.items() if x.ndim and x.shape[0] == BATCH}
        static = dict.fromkeys(self.inputs)
        batch = {name: {0: "batch"} for name in batches}
        if texts:
            yield "batch, seq", static | batch | {name: {0: "batch", 1: "seq"} for name in texts}
        if batch:
            yield "batch", static | batch
        yield "none", static


def names() -> list[str]:
    """Model types with a model class."""
    return [name for name in configuration_auto.CONFIG_MAPPING_NAMES if name in modeling_auto.MODEL_MAPPING_NAMES]


def tiny(name: str) -> Tiny:
    """The first way of shrinking the default configuration for which inputs are found.

    Raises:
        RuntimeError: None was found; says what went wrong last.
    """
    kind = hf.AutoConfig.for_model(name).__class__
    problems: list[str] = []
    for shrink in (canonical, proportional, shallow):
        try:
            config = rebuilt(kind, shrink)
            with torch.device("meta"):
                count = sum(p.numel() for p in hf.AutoModel.from_config(config).parameters())
            if count > LARGEST:
                problems.append(f"{shrink.__name__}: {count} parameters")
                continue
            torch.manual_seed(0)
            module = hf.AutoModel.from_config(config, attn_implementation=None).eval().float()
            spread(module)
            return Tiny(module, *fitting(module, config))
        except Exception as error:
            problems.append(f"{shrink.__name__}: {type(error).__name__}: {str(error)[:200]}")
    raise RuntimeError("; ".join(problems))


def spread(module: nn.Module) -> None:
    """Weights and statistics that are not those of initialisation, so that every one matters."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                fan = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 100
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.7 / fan**0.5)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn(buffer.shape, generator=generator) * 0.1)
            if name.endswith("running_var"):
                buffer.add_(torch.rand(buffer.shape, generator=generator))


# --- configurations ---

Shrink = Callable[[str, Any, dict[str, Any]], Any]


def rebuilt(kind: Any, shrink: Shrink) -> Any:
    """The default configuration with every field shrunk, sub-configurations too."""
    return kind(**fields(kind().to_dict(), kind, shrink))


def fields(given: dict[str, Any], kind: Any, shrink: Shrink) -> dict[str, Any]:
    parts = getattr(kind, "sub_configs", {})
    accepted = inspect.signature(kind.__init__).parameters
    found: dict[str, Any] = {}
    types = given.get("layer_types")
    layers = len(set(types)) if isinstance(types, list) else 0
    original = next((given[n] for n in LAYER_FIELDS if isinstance(given.get(n), int)), None)
    for name, value in given.items():
        if name in FIXED or (name not in accepted and name not in parts):
            continue
        if name in parts or isinstance(value, dict) and "model_type" in value:
            if isinstance(value, dict):
                inner = parts.get(name)
                if inner is None or not hasattr(inner, "sub_configs") or inner is hf.AutoConfig:
                    inner = type(hf.AutoConfig.for_model(value["model_type"]))
                found[name] = {"model_type": value.get("model_type"), **fields(value, inner, shrink)}
        elif name in LAYER_FIELDS and isinstance(value, int):
            found[name] = min(value, max(2, layers))
        elif isinstance(value, list) and original and len(value) == original and original > 2:
            found[name] = representatives(value, max(2, layers))
        else:
            found[name] = shrink(name, value, given)
    return found


FIXED = {"transformers_version", "model_type", "id2label", "label2id", "dtype", "architectures", "_name_or_path"}
LAYER_FIELDS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth", "encoder_layers", "decoder_layers",
                "num_decoder_layers", "num_encoder_layers")  # fmt: skip


def representatives(items: list[Any], count: int) -> list[Any]:
    """Every distinct item once, in order, then the first ones again."""
    distinct: list[Any] = []
    for item in items:
        if item not in distinct:
            distinct.append(item)
    return (distinct + items * count)[:count]


RULES: list[tuple[str, Callable[[Any], Any]]] = [
    (r"vocab_size|.*_vocab_size|vocabulary_size", lambda v: min(v, VOCABULARY)),
    (r".*(_token_id|_token_index|_id|_ids|_token)", lambda v: v if v < VOCABULARY else 98 - v % 40),
    (r".*(layers|num_blocks|n_layer|depths?|num_stages_layers)", lambda v: min(v, 2)),
    (r".*(position_embeddings|n_positions|n_ctx|max_length|seq_length|seq_len|max_.*positions)", lambda v: min(v, 128)),
    (r".*sliding_window|attention_window|.*local_window.*", lambda v: min(v, 4)),
    (r".*(experts_per_tok(en)?|top_?k|topk_group|num_selected_experts|moe_k|moe_topk)", lambda v: min(v, 2)),
    (r"n_group|num_expert_group|n_groups", lambda v: min(v, 2)),
    (r".*(num.*experts|n_routed_experts|moe_num_experts)", lambda v: min(v, 4)),
    (r".*n_shared_experts", lambda v: v),
    (r".*(key_value_heads|num_kv_heads|n_head_kv|multi_query_group_num|kv_n_heads)", lambda v: min(v, 2)),
    (r".*(heads|n_head)", lambda v: min(v, HEADS)),
    (r".*(head_dim|d_kv|kv_channels|attention_head_size)", lambda v: min(v, HEAD_DIM)),
    (r".*lora_rank|.*_rank", lambda v: min(v, 8)),
    (r".*(moe_intermediate_size|expert_intermediate_size)", lambda v: min(v, 16)),
    (r".*(intermediate_size|ffn_dim|ffn_hidden_size|d_ff|n_inner|inner_dim|feedforward.*)", lambda v: min(v, 64)),
    (r".*image_size|.*img_size|input_size|image_resolution", lambda v: min(v, SIDE)),
    (r".*patch_size|.*patch_stride", lambda v: min(v, 8)),
    (r".*window_size", lambda v: min(v, 4)),
    (r".*(num_queries|num_query_tokens|num_latents|num_detection_tokens)", lambda v: min(v, 8)),
    (r".*(mel_bins|n_mels|num_mel.*)", lambda v: min(v, 16)),
    (r".*(source_positions|target_positions)", lambda v: min(v, 64)),
    (r".*num_frames", lambda v: min(v, FRAMES)),
    (r".*(state_size|ssm_state_size|mamba_d_state)", lambda v: min(v, 8)),
    (r".*(kernel|stride|channels|expand|merge|factor|groups?|ratio|per_|interval|freq|period|bits).*", lambda v: v),
    (r".*(hidden_size|d_model|n_embd|embed_dim|_dim|dim|_size|width|hidden|features)", lambda v: min(v, WIDTH)),
]  # fmt: skip


def canonical(name: str, value: Any, given: dict[str, Any]) -> Any:
    """Every field to the number that its name calls for."""
    return by_rules(name, value, lambda width: min(width, WIDTH))


def proportional(name: str, value: Any, given: dict[str, Any]) -> Any:
    """The same, but widths keep their ratios: all are divided by one number."""
    whole = max((given[n] for n in ("hidden_size", "d_model", "n_embd", "embed_dim", "dim") if is_number(given.get(n))),
                default=256)  # fmt: skip
    if re.fullmatch(r".*(head_dim|d_kv|heads|n_head)", name) and isinstance(value, int):
        return min(value, HEADS) if "head_dim" not in name and "d_kv" not in name else 64 // HEADS
    return by_rules(name, value, lambda width: max(width * 64 // whole, 4) if width > 64 else width)


def shallow(name: str, value: Any, given: dict[str, Any]) -> Any:
    """Only depth and vocabulary."""
    if isinstance(value, int) and re.fullmatch(RULES[0][0] + "|" + RULES[1][0] + "|" + RULES[2][0], name):
        return by_rules(name, value, lambda width: width)
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def by_rules(name: str, value: Any, width: Callable[[int], int]) -> Any:
    if isinstance(value, dict):
        return {key: by_rules(str(key), item, width) for key, item in value.items()}
    if value is None and name == "vocab_size":
        return VOCABULARY
    if isinstance(value, list | tuple) and value and all(map(is_number, value)):
        if re.fullmatch(RULES[2][0], name):
            return [min(item, 1) for item in value]
        if name.endswith("_section"):
            return sections(value)
        if re.fullmatch(r".*(sizes|dims?|channels|hidden_size)", name) and max(value) > WIDTH:
            return [max(8, 8 * round(4 * item / max(value))) for item in value]
        return [by_rules(name, item, width) for item in value]
    if not is_number(value) or value <= 2:
        return value
    for pattern, rule in RULES[:-1]:
        if re.fullmatch(pattern, name):
            return rule(value)
    return width(value) if re.fullmatch(RULES[-1][0], name) else value


def sections(value: list[int]) -> list[int]:
    """Parts of half a head."""
    rest = HEAD_DIM // 2 - len(value)
    return [1 + (rest if position == 0 else 0) for position in range(len(value))]


# --- inputs ---


def number(config: Any, *fields: str, default: int) -> int:
    """The first of these fields that a configuration or one of its parts has."""
    for part in parts_of(config):
        for field in fields:
            value = getattr(part, field, None)
            value = value[0] if isinstance(value, list | tuple) and value else value
            if is_number(value):
                return int(value)
    return default


def parts_of(config: Any) -> list[Any]:
    found = [config]
    for name in getattr(config, "sub_configs", {}):
        part = getattr(config, name, None)
        if part is not None:
            found += parts_of(part)
    return found


def ids(config: Any, seq: int = SEQ) -> torch.Tensor:
    known = {getattr(p, n) for p in parts_of(config) for n in dir(p) if n.endswith(("_id", "_token_index")) and
             is_number(getattr(p, n, None))}  # fmt: skip
    allowed = [n for n in range(3, number(config, "vocab_size", default=VOCABULARY)) if n not in known]
    picked = torch.randint(0, len(allowed), (BATCH, seq), generator=torch.Generator().manual_seed(3))
    return torch.tensor(allowed)[picked]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def picture(config: Any) -> torch.Tensor:
    side = number(config, "image_size", "img_size", default=SIDE)
    return noise(BATCH, number(config, "num_channels", "in_channels", "in_chans", default=3), side, side)


def makers(config: Any) -> dict[str, list[Callable[[], torch.Tensor]]]:
    """Ways to make an input, by its name."""
    mel = number(config, "num_mel_bins", "n_mels", "feature_size", "input_feat_per_channel", "input_dim", default=80)
    hidden = number(config, "hidden_size", "d_model", default=WIDTH)
    side = number(config, "image_size", "img_size", default=SIDE)
    channels = number(config, "num_channels", "in_channels", default=3)
    frames = number(config, "num_frames", default=FRAMES)
    pictures = [
        lambda: picture(config),
        lambda: noise(BATCH, frames, channels, side, side),
        lambda: noise(BATCH, channels, 64, 64),
        lambda: noise(BATCH, channels, 224, 224),
    ]  # fmt: skip
    positions = number(config, "max_source_positions", default=32)
    sounds = [lambda: noise(BATCH, mel, 2 * positions), lambda: noise(BATCH, 64, mel), lambda: noise(BATCH, mel, 128)]
    waves = [lambda: noise(BATCH, 4000), lambda: noise(BATCH, 1, 4000), lambda: noise(BATCH, 256, mel), *sounds]
    text = [lambda: ids(config)]
    ones = [lambda: torch.ones(BATCH, SEQ, dtype=torch.int64)]
    boxes = [lambda: torch.arange(4).expand(BATCH, SEQ, 4).contiguous()]
    return {
        "input_ids": text, "attention_mask": ones, "decoder_input_ids": [lambda: ids(config, 5)],
        "pixel_values": pictures, "input_features": sounds, "input_values": waves, "bbox": boxes,
        "inputs_embeds": [lambda: noise(BATCH, SEQ, hidden)], "pixel_values_videos": pictures[1:2],
        "past_values": [lambda: noise(BATCH, number(config, "context_length", default=32)),
                        lambda: noise(BATCH, number(config, "context_length", default=32),
                                      number(config, "num_input_channels", default=1))],
        "hidden_states": [lambda: noise(BATCH, SEQ, hidden)], "images": pictures, "sequences": text,
        "audio_values": waves, "input_audio": waves, "pixel_mask": [],
    }  # fmt: skip


def candidates(module: nn.Module, config: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Sets of inputs to try, those of most meaning first."""
    parameters = inspect.signature(module.forward).parameters
    ways = {name: made for name, made in makers(config).items() if name in parameters}
    main = getattr(module, "main_input_name", "input_ids")
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    sets = [
        [n for n in ("input_ids", "attention_mask", "decoder_input_ids", "bbox", "pixel_values") if n in ways],
        [n for n in ("input_ids", "attention_mask", "decoder_input_ids") if n in ways],
        ["input_ids", "attention_mask"], ["input_ids"], ["input_ids", "bbox"], [main], required,
        [main, "decoder_input_ids"], ["input_ids", main], ["pixel_values"], ["input_features"], ["input_values"],
        ["inputs_embeds"],
    ]  # fmt: skip
    seen: list[list[str]] = []
    for chosen in sets:
        chosen = sorted({*chosen, *required}, key=lambda n: list(parameters).index(n) if n in parameters else 99)
        if "input_ids" not in chosen and chosen != ["attention_mask"]:
            chosen = [name for name in chosen if name != "attention_mask"]
        if not chosen or chosen in seen or any(name not in ways for name in chosen):
            continue
        seen.append(chosen)
        for way in range(max(len(ways[name]) for name in chosen)):
            yield {name: ways[name][min(way, len(ways[name]) - 1)]() for name in chosen}


def fitting(module: nn.Module, config: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The first inputs that the module takes, with finite outputs."""
    parameters = inspect.signature(module.forward).parameters
    takes = "use_cache" in parameters or (hasattr(config, "use_cache") and "kwargs" in parameters)
    options = [{"use_cache": False}, {}] if takes else [{}]
    problem: Exception | None = None
    for inputs in candidates(module, config):
        for option in options:
            try:
                with torch.no_grad():
                    outputs = module(**inputs, **option)
                found = [x for x in torch.utils._pytree.tree_leaves(list(outputs.values()))
                         if isinstance(x, torch.Tensor)]  # fmt: skip
                if found and all(bool(torch.isfinite(x).all()) for x in found if x.is_floating_point()):
                    return inputs, option
                problem = problem or RuntimeError("outputs are not finite")
            except Exception as error:
                problem = problem or error
    raise problem or RuntimeError(f"no inputs are known for it: {list(parameters)[:6]}")
