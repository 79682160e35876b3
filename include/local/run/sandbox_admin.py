"""How does the stack talk to its sandbox? One call of ``/admin``."""

from __future__ import annotations

from typing import Any

import requests

from include.local.errors import LocalSyncError
from include.local.stack import Stack


def ask(stack: Stack, method: str, path: str, **kwargs: Any) -> requests.Response:
    """Call an endpoint.

    Args:
        stack: Whose sandbox.
        method: HTTP method.
        path: Path below ``/admin``, with its query.
        **kwargs: For ``requests``.

    Raises:
        SyncError: It did not answer, or refused.
    """
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy to the loopback interface
            answer = session.request(
                method, f"{stack.settings.sandbox_url}/admin{path}", timeout=(3, 60), **kwargs
            )
        answer.raise_for_status()
    except requests.RequestException as error:
        log = stack.workspace.log_file("sandbox")
        message = f"The sandbox did not answer /admin{path.partition('?')[0]}. Its log: {log}"
        raise LocalSyncError(message) from error
    return answer
