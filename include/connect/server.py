"""How is the connect app served? Behind a proxy, and without an access log.

An access log would contain the addresses, and they contain the link's token or TikTok's code.
"""

from __future__ import annotations

import uvicorn

from include.connect.app import build_app
from include.connect.settings import ConnectSettings


def make_server(settings: ConnectSettings) -> uvicorn.Server:
    """A quiet server."""
    config = uvicorn.Config(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)
