"""How does supervisord start a program? It runs this, which becomes the program.

Supervisor's own ``command=`` and ``environment=`` cannot hold every value (a `` #`` or `` ;``
starts a comment, quotes cannot be nested); a JSON file that only its owner may read can, and
keeps secrets out of the configuration.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path

from include.local.processes.leftovers import end_left_behind
from include.local.workspace import STACK_MARKER


def main(program: str) -> None:
    """Replace this process by the program that the launch file describes.

    What an earlier life of it left behind is ended first: supervisord starts a killed program
    again, but knows nothing of the children that have survived it.
    """
    state = Path(os.environ[STACK_MARKER])
    left = end_left_behind(str(state), program)
    if left:
        note = f"{program}: ended {left} processes that its killed predecessor had left behind\n"
        sys.stderr.write(note)
    spec = json.loads((state / "launch" / f"{program}.json").read_text(encoding="utf-8"))
    if spec["user"]:
        account = pwd.getpwnam(spec["user"])
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.chdir(spec["folder"])
    environ = {**os.environ, **spec["env"]}
    os.execve(spec["argv"][0], spec["argv"], environ)  # noqa: S606 - a fixed program, no shell


if __name__ == "__main__":
    main(sys.argv[1])
