"""What all mirrors share: the life of a run in the backend, its durable link, flat parameters, series and tables."""

from .budget import kept_rows
from .flatten import Flattened, flatten
from .kept import KeptRows
from .link import Link
from .naming import rank_prefix
from .sayings import Saying
from .series import LayerSeries, Point, series_of
from .sink import MirrorSink, RunFacts
from .tables import TABLES, Table, row_of

__all__ = [
    "TABLES", "Flattened", "KeptRows", "LayerSeries", "Link", "MirrorSink", "Point", "RunFacts", "Saying", "Table",
    "flatten", "kept_rows", "rank_prefix", "row_of", "series_of",
]  # fmt: skip
