"""A Keras model recorded by one line: the digits of scikit-learn, with early stopping and layers that are watched.

Needs keras, torch and scikit-learn. Run it with:  python examples/keras_fit.py [storage_dir]
"""

import os
import sys
import warnings

os.environ["KERAS_BACKEND"] = "torch"
warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # NumPy's, of Keras and torch tensors

import keras
from sklearn.datasets import load_digits

import quark
from quark_integrations.callbacks.keras import QuarkCallback


def network() -> keras.Model:
    """A small CNN for images of 8 x 8."""
    model = keras.Sequential([
        keras.layers.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu", name="hidden"),
        keras.layers.Dense(10, name="digits"),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss, metrics=["accuracy"])
    return model


def main(storage_dir: str = "quark-runs") -> None:
    """Train, and say what the run holds."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images, labels = digits.images[..., None].astype("float32") / 16, digits.target
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=25))
    recorded = QuarkCallback("keras-digits", storage_dir=storage_dir, hooks=hooks, config={"seed": 0})
    patience = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, min_delta=0.02)
    network().fit(
        images, labels, batch_size=64, epochs=8, validation_split=0.2, verbose=0, callbacks=[recorded, patience]
    )
    with quark.open(storage_dir) as store:
        view = store.run(recorded.run_id)
        accuracy = view.series("val/accuracy")
        print(f"{view.reason} after {len(accuracy.values)} epochs, validation accuracy {accuracy.values[-1]:.1%}")
        print("layers watched:", ", ".join(dict.fromkeys(record.module_name for record in view.layers())))


if __name__ == "__main__":
    main(*sys.argv[1:2])
