"""The limiters that are compared, and the servers they need."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from include.local.ports import HOST, choose_port
from include.tiktok_sync.store_db.schema import upgrade
from include.tiktok_sync.tiktok import rate_limit
from tests.postgres_server import running_postgres

Acquire = Callable[[], object]

_PATIENCE_S = 60
_ENDPOINT = "video/list"


@dataclass(frozen=True)
class Contender:
    """One limiter: emptied in the parent by `prepare`, opened in each process by `open`.

    `open` takes the calls in a window and the window's seconds, and gives what waits for a permit.
    """

    key: str
    prepare: Callable[[], None]
    open: Callable[[int, float], Acquire]


@dataclass
class Servers:
    """Where they listen; `redis_port` is None when there is none."""

    database_url: str
    redis_port: int | None = None
    left_out: list[str] = field(default_factory=list)


def contenders(servers: Servers) -> list[Contender]:
    """All whose packages and servers are there; ours comes first."""
    url = servers.database_url
    lazy = f"{url}?options=-csynchronous_commit%3Doff"
    found = [
        Contender("this ring", partial(_empty_ring, url), partial(_open_ring, url)),
        Contender("... not durable", partial(_empty_ring, url), partial(_open_ring, lazy)),
    ]
    has = {name: _installed(servers, name) for name in ("pyrate_limiter", "psycopg_pool", "redis")}
    if has["pyrate_limiter"] and has["psycopg_pool"]:
        found.append(
            Contender("pyrate Postgres", partial(_empty_log, url), partial(_open_postgres, url))
        )
    if has["pyrate_limiter"] and has["redis"] and servers.redis_port:
        port = servers.redis_port
        found.append(
            Contender("pyrate Redis", partial(_empty_redis, port), partial(_open_redis, port))
        )
        found.append(
            Contender(
                "... clocks 0.3 s apart",
                partial(_empty_redis, port),
                partial(_open_redis, port, skew_ms=300),
            )
        )
    return found


def _installed(servers: Servers, package: str) -> bool:
    if find_spec(package) is None:
        servers.left_out.append(f"the package {package} is not installed")
        return False
    return True


def _empty_ring(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("TRUNCATE rate_limits, rate_limit_grants")
        conn.execute("CHECKPOINT")


def _open_ring(url: str, limit: int, window_s: float) -> Acquire:
    rate_limit.WINDOW = timedelta(seconds=window_s)
    rate_limit.MARGIN = timedelta(seconds=window_s / 60)  # as one second is to a minute
    conn = psycopg.connect(url, autocommit=True)
    return partial(rate_limit.PostgresRateLimiter(conn, limit).acquire, _ENDPOINT)


def _empty_log(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS ratelimit___bench")
        conn.execute("CHECKPOINT")


def _open_postgres(url: str, limit: int, window_s: float) -> Acquire:
    pyrate: Any = import_module("pyrate_limiter")
    pool = import_module("psycopg_pool").ConnectionPool(url, min_size=1, max_size=2, open=True)
    rates = [pyrate.Rate(limit, int(window_s * 1000))]
    limiter = pyrate.Limiter(pyrate.PostgresBucket(pool, "bench", rates))
    return partial(limiter.try_acquire, _ENDPOINT)


def _empty_redis(port: int) -> None:
    import_module("redis").Redis(port=port).flushall()


def _open_redis(port: int, limit: int, window_s: float, *, skew_ms: int = 0) -> Acquire:
    pyrate: Any = import_module("pyrate_limiter")
    client = import_module("redis").Redis(host=HOST, port=port)
    rates = [pyrate.Rate(limit, int(window_s * 1000))]
    bucket = pyrate.RedisBucket.init(rates, client, "bench")
    # Every other process is on a host whose clock is ahead.
    own_clock = bucket.now
    ahead = skew_ms if int(client.incr("hosts")) % 2 else 0
    bucket.now = lambda: own_clock() + ahead
    return partial(pyrate.Limiter(bucket).try_acquire, _ENDPOINT)


@contextmanager
def local_servers(folder: Path) -> Iterator[Servers]:
    """Postgres with the product's schema, and Redis if it is installed; stopped at the end."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with ExitStack() as stack:
        servers = Servers(stack.enter_context(_postgres(folder)))
        program = shutil.which("redis-server")
        if program is None:
            servers.left_out.append("redis-server is not installed")
        else:
            servers.redis_port = stack.enter_context(_redis(program))
        yield servers


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    with running_postgres(folder) as server:
        upgrade(server.url())
        yield server.url()


@contextmanager
def _redis(program: str) -> Iterator[int | None]:
    if find_spec("redis") is None:
        yield None
        return
    port = choose_port(())
    arguments = [program, "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, cwd="/")  # noqa: S603 - fixed arguments, no shell
    try:
        redis: Any = import_module("redis")
        _wait_for(redis.Redis(host=HOST, port=port).ping, redis.ConnectionError)
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _wait_for(ask: Callable[[], object], refusal: type[Exception]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            ask()
        except refusal:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
