"""NumPy: the reference runner, and weights as `.npz`."""

from __future__ import annotations

from kxchange.converter import Converter

converter = Converter(
    name="numpy",
    requires=("numpy",),
    suffixes=(".npz",),
    save_verb="kxchange_numpy.save:save",
    prepare_verb="kxchange_numpy.prepare:prepare",
    weights_verb="kxchange_numpy.prepare:held_weights",
    supports_verb="kxchange_numpy.prepare:supports",
)
