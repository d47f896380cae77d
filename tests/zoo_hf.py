"""Tiny randomly initialised Hugging Face models: a module, example inputs by name, and its symbolic dims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import nn

BATCH, SEQ = 3, 9
TEXT = ("batch", "seq")


@dataclass(frozen=True)
class Entry:
    """One architecture.

    Attributes:
        module: Random weights, eval mode.
        inputs: Example inputs by name.
        dynamic: The `dynamic` argument of `kx.capture`.
        options: Keyword arguments of `forward` that are no tensors.
        vary: Other inputs, by sizes of the dims.
    """

    module: nn.Module
    inputs: dict[str, torch.Tensor]
    dynamic: dict[str, Any]
    options: dict[str, Any]
    make: Callable[[dict[str, int]], dict[str, torch.Tensor]]


ZOO: dict[str, Callable[[], Entry]] = {}


def architecture(name: str) -> Callable[[Callable[[], Entry]], Callable[[], Entry]]:
    def register(build: Callable[[], Entry]) -> Callable[[], Entry]:
        ZOO[name] = build
        return build

    return register


def build(
    module: nn.Module,
    make: Callable[[dict[str, int]], dict[str, torch.Tensor]],
    dynamic: dict[str, Any],
    **options: Any,
) -> Entry:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = 0.3 if parameter.ndim > 1 else 0.1
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn(buffer.shape, generator=generator) * 0.1)
            if name.endswith("running_var"):
                buffer.add_(torch.rand(buffer.shape, generator=generator))
    return Entry(module.eval(), make({"batch": BATCH, "seq": SEQ}), dynamic, options, make)


def ids(batch: int, seq: int, vocabulary: int = 99) -> torch.Tensor:
    return torch.randint(1, vocabulary, (batch, seq), generator=torch.Generator().manual_seed(batch * 100 + seq))


def mask(batch: int, seq: int) -> torch.Tensor:
    """Ones, with the last position of the last row masked where there is more than one."""
    result = torch.ones(batch, seq, dtype=torch.int64)
    if seq > 1:
        result[-1, -1] = 0
    return result


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def text_inputs(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
    batch, seq = sizes["batch"], sizes["seq"]
    return {"input_ids": ids(batch, seq), "attention_mask": mask(batch, seq)}


TEXT_DIMS = {"input_ids": TEXT, "attention_mask": TEXT}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
}


def text(module: nn.Module, **options: Any) -> Entry:
    return build(module, text_inputs, TEXT_DIMS, **options)


def image(module: nn.Module, size: int = 32, channels: int = 3, **options: Any) -> Entry:
    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        return {"pixel_values": noise(sizes["batch"], channels, size, size)}

    return build(module, make, {"pixel_values": ("batch", None, None, None)}, **options)


def leaves(outputs: Any) -> list[torch.Tensor]:
    """The tensors of a model's output, in order."""
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]


# --- the ten of the first proof ---


@architecture("bert")
def _() -> Entry:
    return text(hf.BertModel(hf.BertConfig(**SMALL)))


@architecture("gpt2")
def _() -> Entry:
    config = hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100, n_positions=64)
    return text(hf.GPT2LMHeadModel(config), use_cache=False)


@architecture("llama")
def _() -> Entry:
    return text(hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, num_key_value_heads=2)), use_cache=False)


@architecture("t5")
def _() -> Entry:
    config = hf.T5Config(
        d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100, decoder_start_token_id=0
    )

    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        batch, seq = sizes["batch"], sizes["seq"]
        target = sizes.get("target", 5)
        return {
            "input_ids": ids(batch, seq),
            "attention_mask": mask(batch, seq),
            "decoder_input_ids": ids(batch, target, 50),
        }

    dims = {**TEXT_DIMS, "decoder_input_ids": ("batch", "target")}
    return build(hf.T5ForConditionalGeneration(config), make, dims, use_cache=False)


@architecture("vit")
def _() -> Entry:
    config = hf.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8
    )
    return image(hf.ViTForImageClassification(config))


@architecture("resnet")
def _() -> Entry:
    config = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic")
    return image(hf.ResNetForImageClassification(config))


@architecture("convnext")
def _() -> Entry:
    config = hf.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], image_size=32)
    return image(hf.ConvNextForImageClassification(config))


@architecture("whisper")
def _() -> Entry:
    config = hf.WhisperConfig(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=100, num_mel_bins=8, max_source_positions=20,
        max_target_positions=40, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip

    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        return {"input_features": noise(sizes["batch"], 8, 40), "decoder_input_ids": ids(sizes["batch"], sizes["seq"])}

    dims = {"input_features": ("batch", None, None), "decoder_input_ids": TEXT}
    return build(hf.WhisperForConditionalGeneration(config), make, dims, use_cache=False)


@architecture("mamba")
def _() -> Entry:
    config = hf.MambaConfig(hidden_size=16, num_hidden_layers=2, state_size=4, vocab_size=100, time_step_rank=4)

    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        return {"input_ids": ids(sizes["batch"], sizes["seq"])}

    return build(hf.MambaForCausalLM(config), make, {"input_ids": TEXT}, use_cache=False)


@architecture("clip")
def _() -> Entry:
    config = hf.CLIPConfig(
        text_config={**SMALL, "max_position_embeddings": 32, "eos_token_id": 98},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )

    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        return {**text_inputs(sizes), "pixel_values": noise(sizes.get("images", 2), 3, 32, 32)}

    dims = {**TEXT_DIMS, "pixel_values": ("images", None, None, None)}
    return build(hf.CLIPModel(config), make, dims)


# --- the others of the thirty ---

POSITIONS = {"max_position_embeddings": 64}


@architecture("roberta")
def _() -> Entry:
    return text(hf.RobertaModel(hf.RobertaConfig(**SMALL, **POSITIONS)))


@architecture("distilbert")
def _() -> Entry:
    return text(hf.DistilBertModel(hf.DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, vocab_size=100)))


@architecture("albert")
def _() -> Entry:
    return text(hf.AlbertModel(hf.AlbertConfig(**SMALL, embedding_size=16)))


@architecture("electra")
def _() -> Entry:
    return text(hf.ElectraModel(hf.ElectraConfig(**SMALL, embedding_size=16)))


@architecture("deberta-v2")
def _() -> Entry:
    config = hf.DebertaV2Config(**SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8)
    return text(hf.DebertaV2Model(config))


@architecture("xlm-roberta")
def _() -> Entry:
    return text(hf.XLMRobertaModel(hf.XLMRobertaConfig(**SMALL, **POSITIONS)))


@architecture("opt")
def _() -> Entry:
    config = hf.OPTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, vocab_size=100, word_embed_proj_dim=32,
        max_position_embeddings=64,
    )  # fmt: skip
    return text(hf.OPTForCausalLM(config), use_cache=False)


@architecture("bloom")
def _() -> Entry:
    return text(
        hf.BloomForCausalLM(hf.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=100)), use_cache=False
    )


@architecture("mistral")
def _() -> Entry:
    config = hf.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=4)
    return text(hf.MistralForCausalLM(config), use_cache=False)


@architecture("mixtral")
def _() -> Entry:
    config = hf.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2)
    return text(hf.MixtralForCausalLM(config), use_cache=False)


@architecture("phi3")
def _() -> Entry:
    config = hf.Phi3Config(**SMALL, num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    return text(hf.Phi3ForCausalLM(config), use_cache=False)


@architecture("qwen3")
def _() -> Entry:
    return text(hf.Qwen3ForCausalLM(hf.Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=8)), use_cache=False)


@architecture("gemma")
def _() -> Entry:
    return text(hf.GemmaForCausalLM(hf.GemmaConfig(**SMALL, num_key_value_heads=2, head_dim=8)), use_cache=False)


@architecture("bart")
def _() -> Entry:
    config = hf.BartConfig(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=100, max_position_embeddings=64,
    )  # fmt: skip

    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        return {**text_inputs(sizes), "decoder_input_ids": ids(sizes["batch"], sizes.get("target", 5), 50)}

    dims = {**TEXT_DIMS, "decoder_input_ids": ("batch", "target")}
    return build(hf.BartForConditionalGeneration(config), make, dims, use_cache=False)


@architecture("dinov2")
def _() -> Entry:
    config = hf.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
    return image(hf.Dinov2Model(config))


@architecture("regnet")
def _() -> Entry:
    config = hf.RegNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], groups_width=4)
    return image(hf.RegNetForImageClassification(config))


@architecture("mobilenet_v2")
def _() -> Entry:
    return image(hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config(depth_multiplier=0.25, image_size=32)))


@architecture("segformer")
def _() -> Entry:
    config = hf.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=16
    )
    return image(hf.SegformerForSemanticSegmentation(config))


@architecture("yolos")
def _() -> Entry:
    config = hf.YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=[32, 32],
        patch_size=8, num_detection_tokens=5,
    )  # fmt: skip
    return image(hf.YolosForObjectDetection(config))


@architecture("wav2vec2")
def _() -> Entry:
    config = hf.Wav2Vec2Config(
        **SMALL, conv_dim=[16, 16, 16], conv_kernel=[10, 3, 3], conv_stride=[5, 2, 2], num_feat_extract_layers=3,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
    )  # fmt: skip

    def make(sizes: dict[str, int]) -> dict[str, torch.Tensor]:
        return {"input_values": noise(sizes["batch"], 200 + 20 * sizes["seq"])}

    return build(hf.Wav2Vec2Model(config), make, {"input_values": ("batch", "samples")})
