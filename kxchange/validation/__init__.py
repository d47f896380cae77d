"""Proof that two models are the same: weights, function, accuracy; each with its evidence."""
