"""Active learning as a tracked loop: measure where the model knows least, until its error is small enough.

The tasks are declared; the loop records what they return, and ends when the criterion is met.
Run it with:  python examples/tracked_loop.py [storage_dir]
"""

import math
import sys
from typing import Any

import numpy as np

import quark

GRID = np.linspace(0.0, 1.0, 101)
WIDTH = 0.15


def truth(x: np.ndarray) -> np.ndarray:
    """What the experiment would measure."""
    return np.sin(6 * math.pi * x**2)


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How alike two places are."""
    return np.exp(-((a[:, None] - b[None, :]) ** 2) / (2 * WIDTH**2))


def declare(storage_dir: str) -> quark.Loop:
    """Three tasks and a criterion: measure, fit a Gaussian process, choose where to measure next."""
    config = {"noise": 1e-6, "first": [0.0, 0.5, 1.0]}
    loop = quark.Loop(project="tracked-loop", name="active", config=config, storage_dir=storage_dir)

    @loop.task("experiment")
    def experiment(previous: quark.StepState | None, config: dict[str, Any]) -> dict[str, Any]:
        places = np.array(config["first"]) if previous is None else np.append(previous.places, previous.next_place)
        return {"places": places, "n_measured": len(places)}

    @loop.task("training", log_params={"kernel": "rbf", "width": WIDTH})
    def training(state: quark.StepState, config: dict[str, Any]) -> dict[str, Any]:
        inner = np.linalg.inv(kernel(state.places, state.places) + config["noise"] * np.eye(len(state.places)))
        cross = kernel(GRID, state.places)
        mean = cross @ inner @ truth(state.places)
        spread = np.sqrt(np.maximum(0.0, 1.0 - np.einsum("ij,jk,ik->i", cross, inner, cross)))
        return {"mean": mean, "spread": spread, "val": {"mse": float(np.mean((mean - truth(GRID)) ** 2))}}

    @loop.task("active_learn")
    def active_learn(state: quark.StepState) -> dict[str, Any]:
        return {"next_place": GRID[np.argmax(state.spread)], "uncertainty": float(np.max(state.spread))}

    loop.criterion(metric="val/mse", threshold=1e-4, operator="<")
    return loop


def main(storage_dir: str = "quark-runs") -> None:
    """Run the loop; its body holds decisions only."""
    loop = declare(storage_dir)
    with loop.start(max_steps=30) as steps:
        for state in steps:
            print(f"step {state.step}: {state.n_measured} measurements, error {state.criterion_value:.2g}")
            if state.uncertainty < 0.01:
                loop.set_next_config({"noise": 1e-9})  # dense by now: trust the measurements
    run = loop.run
    if run is not None:
        print(f"ended: {run.context.run.reason}; see it with: quark show {run.run_id} --storage-dir {storage_dir}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
