"""`python -m include.sandbox`: serves the sandbox until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from include.sandbox.app import build_app
from include.sandbox.faults.rules import FAULT_TEXTS
from include.sandbox.server import listen, make_server, url_of
from include.sandbox.setting_checks import SettingsError
from include.sandbox.settings import VARIABLES, SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_PORT_IN_USE = 1
EXIT_BAD_SETTINGS = 2


def main() -> int:
    """Serves until a signal stops it.

    Returns:
        0 after a stop, 1 if the port is unavailable, 2 for bad settings; one line on stderr says
        why.
    """
    variables = {variable: meaning for variable, _, meaning in VARIABLES}
    argparse.ArgumentParser(
        prog="python -m include.sandbox",
        description="A local TikTok Display API for tests, the demo and the benchmark.",
        epilog=f"environment:\n{_table(variables)}\n\n"
        f"faults (POST /admin/faults):\n{_table(FAULT_TEXTS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        settings = SandboxSettings.from_env()
        listener = listen(settings)
    except SettingsError as error:
        return _fail(str(error), EXIT_BAD_SETTINGS)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        return _fail(f"cannot listen on {place}: {error.strerror}", EXIT_PORT_IN_USE)
    with listener:
        try:
            app = build_app(settings)
        except SettingsError as error:
            return _fail(str(error), EXIT_BAD_SETTINGS)
        shown = f"{settings.stores} stores, profile {settings.profile}"
        sys.stderr.write(f"TikTok sandbox on {url_of(listener)} ({shown})\n")
        sys.stderr.flush()
        make_server(app).run(sockets=[listener])
    return 0


def _table(texts: Mapping[str, str]) -> str:
    width = max(map(len, texts))
    return "\n".join(f"  {name:{width}}  {text}" for name, text in texts.items())


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"sandbox: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
