"""scikit-learn's bundled digits: 1,797 images of 8x8 pixels, split once and for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


def load() -> tuple[Images, Images, Labels, Labels]:
    """Train and test images ``[n, 1, 8, 8]`` from 0 to 1, train and test labels."""
    digits = load_digits()
    images = (digits.images[:, None] / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    return tuple(train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels))
