"""Load ``airflow_settings.yaml`` into Airflow's metadata database, for everyone without Astro.

``python plugins/load_airflow_settings.py [FILE]``, with the project's root on ``PYTHONPATH``;
loading twice changes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.airflow_settings import SETTINGS_FILE, SettingsFileError, read_settings


def load(settings: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the settings to the metadata database, all or nothing."""
    # Airflow reads its configuration on import; reading the file must not need it.
    from airflow.models.connection import Connection  # noqa: PLC0415 - see above
    from airflow.models.pool import Pool  # noqa: PLC0415 - see above
    from airflow.models.variable import Variable  # noqa: PLC0415 - see above
    from airflow.utils.session import create_session  # noqa: PLC0415 - see above
    from sqlalchemy import select  # noqa: PLC0415 - see above

    with create_session() as session:
        for pool in settings["pools"]:
            Pool.create_or_update_pool(
                pool["pool_name"],
                slots=int(pool["pool_slot"]),
                description=pool.get("pool_description") or "",
                include_deferred=False,
                session=session,
            )
        for entry in settings["connections"]:
            fields = {name.removeprefix("conn_"): value for name, value in entry.items()}
            extra = fields.pop("extra", None)
            connection = Connection(
                conn_id=fields.pop("id"),
                conn_type=fields.pop("type", None),
                extra=json.dumps(extra) if extra else None,
                **fields,
            )
            known = session.scalar(select(Connection).where(Connection.conn_id == entry["conn_id"]))
            if known is None:
                session.add(connection)
                continue
            for name in ("conn_type", "host", "schema", "login", "password", "port", "extra"):
                value = getattr(connection, name)
                if value is not None:  # a blank field leaves what was entered in the UI
                    setattr(known, name, value)
        for variable in settings["variables"]:
            Variable.set(
                variable["variable_name"], str(variable["variable_value"]), session=session
            )


def main() -> int:
    """Read the file named on the command line, or the project's own, and load it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SETTINGS_FILE
    try:
        settings = read_settings(path)
    except SettingsFileError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    load(settings)
    counts = ", ".join(f"{len(entries)} {name}" for name, entries in settings.items())
    print(f"Loaded {counts} from {path.name}.")  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
