"""What can go wrong with the local stack? Each message is for the person: cause and next step."""

from __future__ import annotations


class LocalStackError(Exception):
    """An expected failure: printed as it stands, without a traceback, exit status 1."""


class ConfigError(LocalStackError):
    """A variable of the environment or of ``.env`` is missing or cannot be used."""


class PortInUseError(LocalStackError):
    """Another program already listens on one of the stack's ports."""


class StartError(LocalStackError):
    """A part of the stack did not come up."""


class StopError(LocalStackError):
    """A process of the stack could not be stopped."""


class AirflowApiError(LocalStackError):
    """Airflow's REST API did not answer, or refused."""


class LocalSyncError(LocalStackError):
    """The stack is up, but the sync could not be followed to its end."""


class NotReadyError(Exception):
    """A part is not ready yet; becomes a ``StartError`` when the time is over.

    Args:
        reason: Why.
        program: The program whose log tells more.
    """

    def __init__(self, reason: str, *, program: str) -> None:
        super().__init__(reason)
        self.program = program
