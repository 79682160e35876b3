"""How is Airflow's REST API called, as user admin and without importing Airflow?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from typing_extensions import Self

ADMIN = "admin"

_TIMEOUT_S = (5, 30)


class AirflowClient:
    """Logs in when it must, and answers with JSON; use it as a context manager, or keep it.

    Args:
        url: Of the API server, with or without a trailing slash.
        password: Of the user :data:`ADMIN`.
    """

    def __init__(self, url: str, password: str) -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False  # Airflow is ours: no proxy leads to it
        self._password = password

    def __enter__(self) -> Self:
        """Keep its connections open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self.session.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        log_in: bool = True,
    ) -> Any:
        """The answer's JSON.

        Args:
            method: Of HTTP.
            path: Below the server's address, with its slash.
            body: Sent as JSON.
            parameters: Of the query.
            log_in: Whether the path needs a login.

        Raises:
            requests.HTTPError: Airflow refused, or failed.
            requests.RequestException: No answer.
            ValueError: The answer is not JSON.
        """
        if log_in and "Authorization" not in self.session.headers:
            login = {"username": ADMIN, "password": self._password}
            token = self.ask("POST", "/auth/token", body=login, log_in=False)["access_token"]
            self.session.headers["Authorization"] = f"Bearer {token}"
        answer = self.session.request(
            method, self.url + path, json=body, params=parameters, timeout=_TIMEOUT_S
        )
        if answer.status_code == requests.codes.unauthorized:
            # The token ended, or Airflow was restarted with another secret: log in next time.
            self.session.headers.pop("Authorization", None)
        answer.raise_for_status()
        return answer.json()
