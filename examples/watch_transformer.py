"""See inside a small transformer: gradients block by block, with filters, an explicit schedule and mixed precision.

It learns to repeat a sequence. `HookEngine` and `ParameterDiagnostics` are armed by hand, as in any loop. Needs torch.
Run it with:  python examples/watch_transformer.py [storage_dir]
"""

import sys

import torch
from torch import nn

from quark import (
    HookEngine,
    HookEngineConfig,
    HookScheduleConfig,
    LayerFilterConfig,
    MetricsLogger,
    ParameterDiagnostics,
    ParameterDiagnosticsConfig,
    TrainingSession,
)

WORDS, LENGTH, WIDTH, BLOCKS, STEPS = 16, 12, 32, 4, 60


class Repeater(nn.Module):
    """A causal transformer over the symbols of a sequence and its repetition."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.place = nn.Parameter(torch.randn(2 * LENGTH, WIDTH) * 0.1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(BLOCKS)
        )
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """(batch, length) to (batch, length, words)."""
        length = words.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.embed(words) + self.place[:length]
        for block in self.blocks:
            x = block(x, src_mask=mask)
        return self.head(x)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences that are followed by themselves, and the next symbol at each place."""
    half = torch.randint(0, WORDS, (32, LENGTH))
    whole = torch.cat([half, half], dim=1)
    return whole[:, :-1], whole[:, 1:]


def main(storage_dir: str = "quark-runs") -> None:
    """Train, and compare the gradients of the first and the last block."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Repeater()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = HookScheduleConfig(every_n_steps=20, explicit_steps=(1, 2))
    config = HookEngineConfig(
        schedule=schedule, filters=LayerFilterConfig(include_name_patterns=(r"^blocks\.\d+\.", "head"))
    )
    with (
        TrainingSession.start_run(project="watch-transformer", storage_dir=storage_dir) as session,
        MetricsLogger(session) as metrics,
        HookEngine(session, model, optimizer, config=config) as hooks,
        ParameterDiagnostics(
            session, model, optimizer, config=ParameterDiagnosticsConfig(schedule=schedule)
        ) as parameters,
    ):
        for step in range(STEPS):
            words, following = batch()
            with hooks.step(step), parameters.step(step):
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    logits = model(words)
                loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), following.flatten())
                loss.backward()
                optimizer.step()
            metrics.log("train/loss", float(loss.detach()), step=step)
        print(
            f"{len(hooks.instrumented_module_names)} layers, probed in the steps",
            sorted({r.step for r in hooks.read()}),
        )
        for name in ("blocks.0.linear2", f"blocks.{BLOCKS - 1}.linear2"):
            norms = [
                f"{r.norm:.1e}" for r in hooks.read(module_name=name, summary_type="gradient") if r.norm is not None
            ]
            print(f"  gradient of {name}: {', '.join(norms)}")
        ratios = [f"{r.update_ratio:.1e}" for r in parameters.read(parameter_name="head.weight") if r.update_ratio]
        print(f"  update of head.weight: {', '.join(ratios)}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
