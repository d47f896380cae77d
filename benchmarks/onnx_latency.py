"""Our ONNX in ONNX Runtime beside what ``torch.onnx.export(dynamo=True)`` writes from the same model.

    python -m benchmarks.onnx_latency            all ten models, the median of the ratios last
    python -m benchmarks.onnx_latency bert vit   some of them

Ten Hugging Face architectures with random weights, four layers of width 256. Both files run in one process, in turn, one
thread each; a time is the least of all runs, which other processes disturb least. Needs onnxscript for the exporter.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
import transformers as hf

import kxchange as kx

RUNS = 40
BATCH, SEQ = 2, 64
WIDTH, HEADS, LAYERS, INNER, WORDS = 256, 4, 4, 1024, 1000

TEXT = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "intermediate_size": INNER}
CLIP_TEXT = {**TEXT, "vocab_size": WORDS, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2}
CLIP_IMAGE = {**TEXT, "image_size": 96, "patch_size": 16}
MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "bert": lambda: hf.BertModel(hf.BertConfig(vocab_size=WORDS, **TEXT)),
    "distilbert": lambda: hf.DistilBertModel(
        hf.DistilBertConfig(vocab_size=WORDS, dim=WIDTH, n_heads=HEADS, n_layers=LAYERS, hidden_dim=INNER)
    ),
    "gpt2": lambda: hf.GPT2Model(
        hf.GPT2Config(
            vocab_size=WORDS, n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS, use_cache=False, bos_token_id=1, eos_token_id=2
        )
    ),
    "llama": lambda: hf.LlamaModel(hf.LlamaConfig(vocab_size=WORDS, num_key_value_heads=2, use_cache=False, **TEXT)),
    "t5": lambda: hf.T5EncoderModel(
        hf.T5Config(vocab_size=WORDS, d_model=WIDTH, d_kv=64, d_ff=INNER, num_layers=LAYERS, num_heads=HEADS)
    ),
    "vit": lambda: hf.ViTModel(hf.ViTConfig(image_size=96, patch_size=16, **TEXT)),
    "resnet": lambda: hf.ResNetModel(
        hf.ResNetConfig(embedding_size=32, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2])
    ),
    "convnext": lambda: hf.ConvNextModel(
        hf.ConvNextConfig(hidden_sizes=[48, 96, 192, 384], depths=[2, 2, 4, 2], image_size=96)
    ),
    "whisper": lambda: hf.models.whisper.modeling_whisper.WhisperEncoder(
        hf.WhisperConfig(
            d_model=WIDTH, encoder_layers=LAYERS, encoder_attention_heads=HEADS, encoder_ffn_dim=INNER,
            max_source_positions=64, num_mel_bins=80,
        )
    ),
    "clip": lambda: hf.CLIPModel(
        hf.CLIPConfig(text_config=CLIP_TEXT, vision_config=CLIP_IMAGE, projection_dim=WIDTH)
    ),
}  # fmt: skip


class Bare(torch.nn.Module):
    """A model whose output is a tuple of its first tensors, which both exporters take."""

    def __init__(self, inner: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.inner = inner
        self.names = names

    def forward(self, *args: Any) -> Any:
        found = self.inner(**dict(zip(self.names, args, strict=True)))
        if "logits_per_image" in found:
            return found["logits_per_image"], found["text_embeds"], found["image_embeds"]
        return found[0]


def inputs_of(name: str) -> dict[str, torch.Tensor]:
    """Example inputs by name."""
    images = torch.randn(BATCH, 3, 96, 96)
    words = torch.randint(3, WORDS, (BATCH, SEQ))
    mask = torch.ones(BATCH, SEQ, dtype=torch.int64)
    mask[1, SEQ // 2 :] = 0
    if name == "whisper":
        return {"input_features": torch.randn(BATCH, 80, 128)}
    if name in ("vit", "resnet", "convnext"):
        return {"pixel_values": images}
    if name == "clip":
        return {"input_ids": words, "pixel_values": images, "attention_mask": mask}
    return {"input_ids": words, "attention_mask": mask}


def dims_of(inputs: dict[str, torch.Tensor]) -> dict[str, tuple[Any, ...]]:
    """A symbolic batch, and a symbolic length for text."""
    sizes: dict[str, tuple[Any, ...]] = {}
    for name, tensor in inputs.items():
        text = tensor.dtype == torch.int64
        sizes[name] = ("batch", "seq") if text else ("batch", *(None,) * (tensor.ndim - 1))
    return sizes


def export(name: str, folder: Path) -> tuple[Path, Path, dict[str, np.ndarray]]:
    """Write both files; returns them and the inputs by name."""
    torch.manual_seed(0)
    inputs = inputs_of(name)
    net = Bare(MODELS[name]().eval(), tuple(inputs)).eval()
    ours, theirs = folder / "ours.onnx", folder / "theirs.onnx"
    dims = dims_of(inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic = tuple(
            {axis: torch.export.Dim.DYNAMIC for axis, dim in enumerate(dims[n]) if dim is not None} for n in inputs
        )
        torch.onnx.export(
            net, tuple(inputs.values()), str(theirs), dynamo=True, verbose=False, input_names=list(inputs),
            dynamic_shapes=(dynamic,), external_data=False,
        )  # fmt: skip
        model = kx.capture(net, *inputs.values(), dynamic={f"args.{i}": dims[n] for i, n in enumerate(inputs)})
        kx.save(model, ours)
    return ours, theirs, {key: value.numpy() for key, value in inputs.items()}


def session(path: Path) -> ort.InferenceSession:
    """One thread, all of ONNX Runtime's optimizer."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def compare(name: str, folder: Path) -> float:
    """Run both in turn; prints one line and returns the ratio of the times."""
    ours, theirs, arrays = export(name, folder)
    sessions = [session(ours), session(theirs)]
    feeds = [dict(zip([i.name for i in s.get_inputs()], arrays.values(), strict=True)) for s in sessions]
    results = [s.run(None, feed) for s, feed in zip(sessions, feeds, strict=True)]
    gap = max(float(np.abs(a - b).max()) for a, b in zip(*results, strict=True))
    times: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for which, (s, feed) in enumerate(zip(sessions, feeds, strict=True)):
            start = time.perf_counter()
            s.run(None, feed)
            times[which].append(time.perf_counter() - start)
    mine, other = min(times[0]) * 1e3, min(times[1]) * 1e3
    print(
        f"{name:12} ours {mine:8.2f} ms   torch.onnx.export {other:8.2f} ms   ratio {mine / other:.2f}   {gap:.1e} apart"
    )
    return mine / other


def main() -> None:
    """Every model asked for, then the median."""
    torch.set_num_threads(2)
    ratios: list[float] = []
    for name in sys.argv[1:] or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            ratios.append(compare(name, Path(folder)))
    print(f"median ratio {statistics.median(ratios):.2f} over {len(ratios)} models")


if __name__ == "__main__":
    main()
