"""What does a job do with one store, and what does it return on success?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from include.tiktok_sync.business.client import BusinessClient
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.sync_log import StoreResult
from include.tiktok_sync.tiktok.api_client import CallCounts
from include.tiktok_sync.tiktok.client import TikTokClient


@dataclass(frozen=True)
class StoreOutcome:
    """The success of one store in one run.

    Attributes:
        message: One line for the person.
        details: Counts for ``sync_logs.details``.
    """

    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoreReport:
    """The recorded result of one store in one run, for callers that report it elsewhere.

    Attributes:
        result: Its row in ``sync_logs``; for a dry run, the row it would have had.
        calls: The cost of its calls, by endpoint.
        dry_run: Whether nothing was written; the row counts are then those that would have been.
    """

    result: StoreResult
    calls: Mapping[str, CallCounts] = field(default_factory=dict)
    dry_run: bool = False


StoreClient: TypeAlias = TikTokClient | BusinessClient
"""One store's view of one of the two APIs; which one follows from the job."""


class StoreJob(Protocol):
    """The work of one job on one store."""

    def __call__(self, run: StoreRun, *, client: Any, repository: StoreRepository) -> StoreOutcome:
        """Do it; ``client`` is a :data:`StoreClient` of the job's API."""
