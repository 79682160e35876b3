"""What does `make sync` say of settings that TikTok refuses?

The last of the stack's tests by name: another client restarts all of Airflow, and none after it
needs the right one back.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.e2e.conftest import STORES, RunningStack
from tests.sandbox_server import running_sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def ready(stack: RunningStack) -> RunningStack:
    """The stack with its stores, whichever test was before."""
    if len(grants(stack)) != STORES:
        done = stack.sync()
        assert done.returncode == 0, done.stdout + done.stderr
    return stack


def grants(stack: RunningStack) -> list[tuple[str, str]]:
    with psycopg.connect(stack.db_url) as conn:
        query = "SELECT store_code, status FROM store_tokens ORDER BY 1"
        return conn.execute(query).fetchall()


def test_a_wrong_client_secret_is_one_clear_error(ready: RunningStack) -> None:
    before = grants(ready)
    assert [status for _, status in before] == ["active"] * STORES
    with running_sandbox() as other:
        failed = ready.sync(
            TIKTOK_API_URL=other.url,
            TIKTOK_CLIENT_KEY=other.client_key,
            TIKTOK_CLIENT_SECRET="wrong",
        )
        stats = other.admin("GET", "/stats")
    assert failed.returncode == 1
    assert "TIKTOK_CLIENT_SECRET" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    assert stats["endpoints"]["user_info"]["calls"] == 0
    assert grants(ready) == before
