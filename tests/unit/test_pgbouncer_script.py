"""deploy/pgbouncer.sh names a setting that it cannot use, and writes no configuration with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "pgbouncer.sh"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"DB_POOL_SIZE": "00"}, "DB_POOL_SIZE"),
        ({"DB_POOL_SIZE": "many"}, "DB_POOL_SIZE"),
        ({"DB_POOL_SIZE": "3", "DB_POOL_MIN": "4"}, "larger than DB_POOL_SIZE"),
        ({"STORE_DB_PASSWORD": ""}, "STORE_DB_PASSWORD"),
        ({"STORE_DB_PASSWORD": 'a"b'}, "STORE_DB_PASSWORD"),
        ({"POOL_UPSTREAM": "store-db"}, "host:port"),
        ({"POOL_UPSTREAM": "store-db:"}, "host:port"),
        ({"POOL_FOLDER": "/nowhere"}, "POOL_FOLDER /nowhere is not writable"),
    ],
)
def test_a_setting_it_cannot_use_is_named(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    env = {
        "PATH": "/usr/bin:/bin",
        "POOL_UPSTREAM": "store-db:5432",
        "POOL_FOLDER": str(tmp_path),
        "STORE_DB_PASSWORD": "s3cret",
        **change,
    }

    done = subprocess.run(  # noqa: S603 - the product's own script
        ["/bin/sh", str(SCRIPT)], env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert said in done.stderr
    assert "s3cret" not in done.stderr
    assert list(tmp_path.iterdir()) == []
