"""The one body of all rules: frames in, alerts out, live and after the fact alike."""

import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from ..errors import ConfigurationError
from ..records.naming import NONFINITE, nonfinite_name
from ..records.thresholds import AnalyzerEngineConfig
from . import roles
from .frames import Frame
from .roles import Roles
from .rules import RULES, Finding, Rule, RuleOutcome
from .rules.base import ANY, BATCH, EVENT, LOSS, OTHER, PROBE, TELEMETRY, TIMING, TOPICS, VALIDATION, Seen
from .rules.registry import added_rules
from .stretch import Losses, Stretch

logger = logging.getLogger("quark")

_BIT = {topic: 1 << place for place, topic in enumerate(TOPICS)}
_FIELDS = {
    roles.LOSS: ("loss", LOSS), roles.VALIDATION_LOSS: ("validation", VALIDATION),
    roles.TRAIN_EVAL_LOSS: ("train_eval", OTHER), roles.ACCURACY: ("accuracy", OTHER),
    roles.VALIDATION_ACCURACY: ("validation_accuracy", OTHER), roles.LEARNING_RATE: ("learning_rate", OTHER),
    roles.GRADIENT_NORM: ("gradient_norm", OTHER), roles.STEP_TIME: ("step_time", TIMING),
    roles.DATA_TIME: ("data_time", TIMING), roles.COMPUTE_TIME: ("compute_time", TIMING),
    roles.SYNC_TIME: ("sync_time", TIMING), roles.REWARD: ("reward", OTHER),
}  # fmt: skip

_PASSED = frozenset((roles.LOSS, roles.LEARNING_RATE, roles.ACCURACY, roles.REWARD))
"""Metrics whose frames may be passed over; every other one is looked at by some rule each time."""

BLOCK = 1024
"""Frames that are looked through at once."""

RETRY = 8
"""Frames that are taken one by one where something goes on."""


class Analysis:
    """All rules over one run.

    Rules of other packages are an analysis of their own, which takes every frame: however slow they are, Quark's own
    rules pass over stretches in which nothing happens as they do without them.

    Args:
        config: limits, names of metrics, silenced rules.

    Raises:
        ConfigurationError: a silenced rule does not exist.
    """

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        added = added_rules()
        known = [rule.name for rule in (*RULES, *added)]
        for name in config.silenced_rules:
            if name not in known:
                raise ConfigurationError(f"there is no rule {name!r} to silence; the rules are {', '.join(known)}")
        self._begin(config, RULES, Roles(config))
        chosen = [rule for rule in added if rule.name not in config.silenced_rules]
        self._others = _OtherRules(config, chosen, self.roles) if chosen else None

    def _begin(self, config: AnalyzerEngineConfig, rules: Iterable[type[Rule]], roles: Roles) -> None:
        self.roles = roles
        self.rules: list[Rule] = [rule(config) for rule in rules if rule.name not in config.silenced_rules]
        self.seen = Seen(self.roles)
        self.faults: dict[str, str] = {}
        self._failed: list[Rule] = []
        self._ranks: dict[int, Seen] = {0: self.seen}
        self._concerned: dict[int, list[Rule]] = {}

    def feed(self, frame: Frame | Stretch) -> list[Finding]:
        """Take a frame, or many; the alerts that it gives rise to, in the order of the rules."""
        made = self._feed_stretch(frame) if isinstance(frame, Stretch) else self._feed(frame)
        return made if self._others is None else made + self._others.feed(frame)

    def _feed(self, frame: Frame) -> list[Finding]:
        seen = self._ranks.get(frame.rank)
        if seen is None:
            seen = self._ranks[frame.rank] = Seen(self.roles)
        made: list[Finding] = []
        for rule in self._rules_of(self._read(frame, seen)):
            try:
                found = rule.feed(frame, seen)
            except Exception as error:  # noqa: BLE001  a defect of one rule must not silence the others
                self._give_up(rule, error)
                continue
            if found:
                made += found
                seen.raised.add(rule.name)
            elif rule.name in seen.raised and not rule._up:
                seen.raised.discard(rule.name)
        return made

    def _rules_of(self, topics: int) -> list[Rule]:
        concerned = self._concerned.get(topics)
        if concerned is None:
            concerned = self._concerned[topics] = [
                rule for rule in self.rules if any(topics & _BIT[topic] for topic in rule.topics)
            ]
        return concerned

    def _feed_stretch(self, stretch: Stretch) -> list[Finding]:
        """Take the frames in which no rule would do anything but count at once, and the others one by one."""
        columns = {role: key for key in stretch.values if (role := self.roles.of(key)) is not None}
        known = columns.keys() <= _PASSED and roles.LOSS in columns
        made: list[Finding] = []
        at, alone = 0, 0
        while at < len(stretch):
            block = stretch.part(at, at + BLOCK)
            taken = self._pass_over(block, columns) if known and not alone else 0
            at += taken
            if taken < len(block):
                alone = alone - 1 if alone else 0 if taken else RETRY
                made += self._feed(stretch.frame(at))
                at += 1
        return made

    def _pass_over(self, stretch: Stretch, columns: dict[str, str]) -> int:
        """How many of the frames need no look; they are counted, and part of the course."""
        seen = self._ranks.setdefault(stretch.rank, Seen(self.roles))
        lists = {role: stretch.values[key].tolist() for role, key in columns.items()}
        if not all(map(math.isfinite, chain(*lists.values()))):
            return 0
        losses = Losses(stretch, lists[roles.LOSS], lists.get(roles.LEARNING_RATE), lists.get(roles.ACCURACY))
        topics = _BIT[ANY] | _BIT[LOSS] | (_BIT[OTHER] if len(lists) > 1 else 0)
        concerned = [rule for rule in self._rules_of(topics) if rule.every_rank or not stretch.rank]
        for rule in concerned:
            try:
                losses.cut(rule.passes(losses, seen))
            except Exception as error:  # noqa: BLE001  as above
                self._give_up(rule, error)
                return 0
        losses.levels, losses.learned = seen.course.run(losses.losses)
        losses.cut(len(losses.levels))
        seen.steps += len(losses)
        if losses.accuracies:
            seen.reached(max(losses.accuracies))
        for reward in lists.get(roles.REWARD, ())[: len(losses)]:
            seen.rewards.add(reward)
        for rule in concerned if len(losses) else ():
            try:
                rule.pass_over(losses, seen)
            except Exception as error:  # noqa: BLE001  as above
                self._give_up(rule, error)
                continue
            if rule.name in seen.raised and not rule._up:
                seen.raised.discard(rule.name)
        return len(losses)

    def _give_up(self, rule: Rule, error: Exception) -> None:
        """A rule that failed is asked no more, and says so in its verdict."""
        if rule.name not in self.faults:
            self.faults[rule.name] = f"it failed with {type(error).__name__}: {error}; please report it"
            logger.warning("quark: the rule %s %s", rule.name, self.faults[rule.name])
        self._concerned = {
            topics: [one for one in rules if one is not rule] for topics, rules in self._concerned.items()
        }  # fmt: skip
        self.rules = [one for one in self.rules if one is not rule]
        self._failed.append(rule)

    def _read(self, frame: Frame, seen: Seen) -> int:
        """Find the parts that the frame's metrics play; the topics that it holds."""
        for name in seen.filled:
            setattr(seen, name, None)
        seen.filled.clear()
        topics = _BIT[ANY]
        if frame.values:
            topics |= self._metrics(frame, seen)
        if frame.telemetry:
            topics |= _BIT[TELEMETRY] | self._times(frame, seen)
        if frame.layers or frame.parameters:
            topics |= _BIT[PROBE]
            seen.has_parameters = seen.has_parameters or bool(frame.parameters)
        if frame.batches:
            topics |= _BIT[BATCH]
        seen.broken = False
        if frame.events:
            topics |= _BIT[EVENT]
            self._breaks(frame, seen)
        if seen.loss is not None:
            seen.course.add(seen.loss)
        if topics & (_BIT[LOSS] | _BIT[PROBE]):
            seen.steps += 1
        return topics

    def _metrics(self, frame: Frame, seen: Seen) -> int:
        topics = 0
        of = self.roles.of
        for key, value in frame.values.items():
            role = of(key)
            if role is not None and math.isfinite(value):
                name, topic = _FIELDS[role]
                setattr(seen, name, value)
                seen.filled.append(name)
                topics |= _BIT[topic]
        for accuracy in (seen.accuracy, seen.validation_accuracy):
            if accuracy is not None:
                seen.reached(accuracy)
        if seen.reward is not None:
            seen.rewards.add(seen.reward)
        return topics

    def _times(self, frame: Frame, seen: Seen) -> int:
        """Times that only a telemetry record holds."""
        found = 0
        for one in frame.telemetry:
            if seen.step_time is None and one.step_time_ms is not None:
                seen.step_time, seen.data_time, seen.compute_time = (
                    one.step_time_ms, one.data_time_ms, one.compute_time_ms
                )  # fmt: skip
                seen.filled += ("step_time", "data_time", "compute_time")
                found = _BIT[TIMING]
        return found

    def _breaks(self, frame: Frame, seen: Seen) -> None:
        for event in frame.events:
            if event.event_type == NONFINITE:
                key = nonfinite_name(event.payload)
                found = roles.role_of(key) if key != self.roles.key(roles.LOSS) else (roles.LOSS, 0)
                if found is not None and found[0] == roles.LOSS:
                    seen.broken = True

    def tick(self, now_ns: int) -> list[Finding]:
        """Time goes by and nothing is recorded."""
        made: list[Finding] = []
        for rule in list(self.rules):
            try:
                made += rule.tick(now_ns)
            except Exception as error:  # noqa: BLE001  a defect of one rule must not silence the others
                self._give_up(rule, error)
        return made if self._others is None else made + self._others.tick(now_ns)

    def result(self) -> list[RuleOutcome]:
        """What every rule has to say."""
        made = [rule.result() for rule in self.rules]
        made += [replace(rule.result(), abstained=self.faults[rule.name]) for rule in self._failed]
        return made if self._others is None else made + self._others.result()


class _OtherRules(Analysis):
    """The rules of other packages over one run, frame by frame; one that cannot be made is left out."""

    def __init__(self, config: AnalyzerEngineConfig, rules: Iterable[type[Rule]], roles: Roles) -> None:
        self._begin(config, (), roles)
        self._others = None
        for rule in rules:
            try:
                self.rules.append(rule(config))
            except Exception as error:  # noqa: BLE001  another package's code may raise anything
                logger.warning("quark: the rule %s cannot be made: %s: %s", rule.name, type(error).__name__, error)

    def _feed_stretch(self, stretch: Stretch) -> list[Finding]:
        return [finding for frame in stretch.frames() for finding in self._feed(frame)]
