"""What users write, for the type checker: this file is checked and never run."""

from collections.abc import Callable
from typing import assert_type

import quark
from quark import (
    ArtifactRecord,
    ArtifactStore,
    EventLogger,
    EventRecord,
    HookEngineConfig,
    JsonlSink,
    MetricRecord,
    MetricsLogger,
    MetricTargetSpec,
    RecordBatch,
    RunContext,
    RunManifest,
    Sink,
    StepState,
    StopReason,
    SystemTelemetry,
    SystemTelemetryConfig,
    SystemTelemetryRecord,
    TrackerBase,
    TrainingSession,
)


class Printer(TrackerBase):
    """A tracker with all three methods."""

    def on_start(self, manifest: RunManifest) -> None:
        print(manifest.run_id)

    def on_step(self, state: StepState) -> None:
        print(state.step, state.get("loss"), state.loss)

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        print(reason)


class Lines(Sink):
    """A sink of a third party."""

    name = "lines"

    def write(self, batch: RecordBatch) -> None:
        print(len(batch.lines()))


def documented(storage_dir: str) -> None:
    """The documented classes and the types of what they return."""
    with (
        TrainingSession.start_run(project="digits", config={"lr": 0.1}, tags=["a"], storage_dir=storage_dir) as session,
        MetricsLogger(session, batch_size=50) as metrics,
        EventLogger(session) as events,
        SystemTelemetry(session, config=SystemTelemetryConfig(sample_every_n_steps=10)) as telemetry,
        ArtifactStore(session) as artifacts,
    ):
        assert_type(session, TrainingSession)
        assert_type(metrics.log("train/loss", 1.0, step=0), MetricRecord)
        assert_type(events.log("checkpoint_saved", step=0, payload={"path": "x"}), EventRecord)
        assert_type(telemetry.sample(), SystemTelemetryRecord)
        with telemetry.start_step(0, epoch=0) as scope:
            scope.mark_data_ready()
        assert_type(artifacts.store("note", "hello", "text"), ArtifactRecord)
        assert_type(metrics.read(metric_key="train/loss", limit=3), tuple[MetricRecord, ...])
        assert_type(session.add_tag("b"), RunContext)


def short(storage_dir: str) -> None:
    """The short way."""
    with quark.start_run(project="digits", storage_dir=storage_dir, trackers=[JsonlSink("run.jsonl"), Lines()]) as run:
        run.add_tracker(Printer())
        for batch in run.steps([1, 2, 3], epoch=0):
            run.log({"train/loss": batch * 0.5})
    view = quark.open(storage_dir).run(run.run_id)
    print(view.status, view.series("train/loss").values.mean())


def configured() -> None:
    """Configurations take what their fields say."""
    assert_type(HookEngineConfig().schedule.every_n_steps, int | None)
    assert_type(MetricTargetSpec("val/loss", 0.5, "at_most").target_value, float)
    MetricTargetSpec("val/loss", 0.5, "below")  # pyright: ignore[reportArgumentType]
    HookEngineConfig(batch_size="10")  # pyright: ignore[reportArgumentType]


def track_a_loop(config: dict[str, object]) -> None:
    """The tracked loop: declarations keep the functions' types, steps are states."""
    loop = quark.Loop(project="typed", config=config, workers=2)

    @loop.task("training", log_params={"kernel": "rbf"}, num_gpus=4)
    def train(step: int) -> dict[str, float]:
        return {"mse": 1.0 / (step + 1)}

    @loop.criterion(metric="val/mse", threshold=0.01, operator="<")
    def validate(state: StepState) -> float:
        return state.mse

    assert_type(train(3), dict[str, float])
    check: Callable[[StepState], float] = validate
    print(check)
    loop.add_tracker(Printer())
    with loop.start(max_steps=20) as steps:
        for state in steps:
            assert_type(state, StepState)
            assert_type(state.worker_id, int | str | None)
            loop.set_next_config({"lr": 0.1}, worker_id=0)
    assert_type(loop.tasks["training"], quark.LoopTask)


async def track_an_asynchronous_loop(loop: quark.Loop) -> None:
    """The same for async."""
    async with loop.start() as steps:
        assert_type(steps, quark.LoopSteps)
        async for state in steps:
            assert_type(state, StepState)
