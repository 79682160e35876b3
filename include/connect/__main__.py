"""``python -m include.connect``: serves the connect app until a signal stops it."""

from __future__ import annotations

import sys

from include.connect.context import ConnectContext
from include.connect.server import make_server
from include.connect.settings import ConnectSettings
from include.tiktok_sync.errors import ConfigurationError, SyncError
from include.tiktok_sync.json_log import log_as_json

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def main() -> int:
    """Check settings and database, then serve.

    Returns:
        2 for a setting that is missing or wrong, 1 for a database that cannot be reached or a port
        in use; one line on standard error says which. A signal ends the process by itself.
    """
    log_as_json()
    try:
        settings = ConnectSettings.from_env()
        ConnectContext(settings).check_database()
    except ConfigurationError as error:
        return _fail(error, EXIT_CONFIGURATION)
    except SyncError as error:
        return _fail(error, EXIT_FAILED)
    server = make_server(settings)
    sys.stderr.write(f"Connect app for {settings.base_url} on {settings.host}:{settings.port}\n")
    sys.stderr.flush()
    server.run()
    return 0 if server.started else EXIT_FAILED


def _fail(error: SyncError, status: int) -> int:
    sys.stderr.write(f"connect: {error}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
