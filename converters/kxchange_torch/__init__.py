"""PyTorch: modules and exported programs in, trainable modules and `.pt2` files out."""

from __future__ import annotations

from kxchange.converter import Converter

converter = Converter(
    name="torch",
    requires=("torch",),
    suffixes=(".pt2",),
    captures=("torch.nn.modules.module.Module", "torch.export.exported_program.ExportedProgram", "torch.Tensor"),
    sniff="kxchange_torch.pt2_sniff:sniff",
    tensors_verb="kxchange_torch.checkpoint_in:tensors",
    load_verb="kxchange_torch.load:load",
    save_verb="kxchange_torch.save:save",
    build_verb="kxchange_torch.build:build",
    capture_verb="kxchange_torch.capture:capture",
    prepare_verb="kxchange_torch.prepare:prepare",
    supports_verb="kxchange_torch.lower:supports",
    source_verb="kxchange_torch.source:run_source",
    tensor_verb="kxchange_torch.source:to_tensor",
    gradients_verb="kxchange_torch.gradients:gradients",
    weights_verb="kxchange_torch.source:held_weights",
    run_file_verb="kxchange_torch.run_file:run_file",
)
