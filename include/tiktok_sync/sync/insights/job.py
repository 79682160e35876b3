"""Do one store of the Accounts API: its account's days, its posts, and the chain's benchmark."""

from __future__ import annotations

from typing import Any

from include.tiktok_sync.business.client import BusinessClient
from include.tiktok_sync.business.models import BUSINESS_SCOPES, POSTS_SCOPE
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import DataError, FatalError, SkippableError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.insights.account import read_account, refuse_problems
from include.tiktok_sync.sync.insights.past_day import fill_past_day
from include.tiktok_sync.sync.insights.posts import PostsRead, read_posts
from include.tiktok_sync.sync.insights.repository import InsightsRepository
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome


def sync_insights(
    run: StoreRun, *, client: BusinessClient, repository: StoreRepository
) -> StoreOutcome:
    """Read what may have changed since yesterday; of a past day, its account figures only.

    Raises:
        MissingScopeError: Nothing is granted.
        DataError: Some days or posts could not be read; every readable one is written. Or it is
            another account than that of the first consent, and nothing is.
        SyncError: See :mod:`include.tiktok_sync.business.meanings`.
    """
    insights = InsightsRepository(repository)
    if run.day.is_late(utc_now()):
        return fill_past_day(run, client, insights)
    account = read_account(run, client, insights)
    granted = POSTS_SCOPE in client.tokens.scopes
    posts = read_posts(run, client, insights) if granted else PostsRead()
    problems = [*account.found.problems, *posts.problems]
    refuse_problems(problems, len(account.found.days) + posts.posts)
    missing = sorted(BUSINESS_SCOPES - client.tokens.scopes)
    days = f"{len(account.found.days)} days since {account.asked_from}"
    said = f"{posts.posts} posts on {posts.pages} pages" if granted else "posts not granted"
    skipped = {**account.details(), **posts.details()}.get("fields_skipped", {})
    return StoreOutcome(
        message=f"{days}, {said}"
        + (f"; not granted: {', '.join(missing)}" if missing else "")
        + (f"; refused by TikTok: {', '.join(skipped)}" if skipped else ""),
        details={
            **account.details(),
            **posts.details(),
            "rows": account.rows + posts.rows,
            **({"scopes_not_granted": missing} if missing else {}),
            **_benchmark(run, client, insights),
        },
    )


def _benchmark(
    run: StoreRun, client: BusinessClient, insights: InsightsRepository
) -> dict[str, Any]:
    """Fetch the category's averages of the day, if no other store has; a refusal is only noted."""
    day = run.day.date
    if not client.category or not insights.claim_benchmark(day, client.category):
        return {}
    try:
        insights.save_benchmark(day, client.benchmark(client.category))
    except (FatalError, SkippableError, DataError) as error:
        # The store's own figures are written; another store asks again in a while.
        return {"benchmark": str(error)}
    return {"benchmark": "read"}
