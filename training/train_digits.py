"""Train the model of ``classify_digits``, and set the digits apart that its accuracy is tested on.

    make train-digits

The data are the 1797 handwritten digits of scikit-learn's ``load_digits``, which are the test set of
E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (1998), UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, CC BY 4.0. A quarter of them, drawn with a fixed seed, is held
out and takes no part in anything here but the accuracy that is printed. The sizes of the network were chosen
by cross-validation on the other three quarters.

The same versions of the libraries make the same files, byte for byte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "service" / "tasks" / "digits.npz"
HELD_OUT = ROOT / "tests" / "unit" / "tasks" / "digits_held_out.npz"

#: Largest value of a pixel.
INK = 16
SEED = 0


def main() -> None:
    """Train, save and tell the accuracy."""
    pixels, digits = load_digits(return_X_y=True)
    train, test, train_digits, test_digits = train_test_split(
        pixels, digits, test_size=0.25, stratify=digits, random_state=SEED
    )
    # Stopped early, it would set a part of the training set apart, which is small enough already.
    network = MLPClassifier((64,), alpha=0.1, max_iter=1000, random_state=SEED)
    network.fit(train / INK, train_digits)
    hidden, output = (weights.astype(np.float32) for weights in network.coefs_)
    hidden_bias, output_bias = (bias.astype(np.float32) for bias in network.intercepts_)
    np.savez(MODEL, hidden=hidden, hidden_bias=hidden_bias, output=output, output_bias=output_bias)
    images = test.reshape(-1, 8, 8).astype(np.uint8)
    np.savez_compressed(HELD_OUT, images=images, digits=test_digits.astype(np.uint8))
    right = round(network.score(test / INK, test_digits) * len(test))
    print(f"{right} of {len(test)} held-out digits are recognized: {right / len(test):.1%}")


if __name__ == "__main__":
    main()
