"""The settings of the parameter diagnostics."""

import re
from typing import Annotated

from ...errors import SchemaValidationError
from ...records.base import frozen
from ...records.configs import Config, HookScheduleConfig, Names, Size
from ...records.fields import says
from ...records.grammar import shown


@frozen
class ParameterDiagnosticsConfig(Config):
    """Which parameters are looked at, when, and what of them.

    Raises:
        SchemaValidationError, WrongTypeError: a field breaks its rule; the message names it.
    """

    schedule: Annotated[HookScheduleConfig, says("in which steps")] = HookScheduleConfig()
    include_name_patterns: Annotated[Names, says("regular expressions searched in parameter names; empty: all")] = ()
    exclude_name_patterns: Annotated[Names, says("regular expressions of parameter names that are left out")] = ()
    capture_updates: Annotated[
        bool, says("measure updates, which takes a copy of the parameters while the optimizer steps")
    ] = True
    capture_optimizer_state: Annotated[bool, says("norms of the optimizer's state, in the metadata")] = False
    emit_scalar_metrics: Annotated[bool, says("mirror the norms as metrics below quark/params/")] = False
    batch_size: Annotated[Size, says("summaries that flush() returns at most")] = 100
    raise_on_error: Annotated[bool | None, says("whether a fault raises; null: as the run's strict_mode")] = None

    def _agree(self) -> None:
        for name in ("include_name_patterns", "exclude_name_patterns"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise SchemaValidationError(
                        f"ParameterDiagnosticsConfig.{name} must hold regular expressions, got {shown(pattern)}: "
                        f"{error}; escape special characters with re.escape"
                    ) from error
