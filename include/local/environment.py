"""What does every process of the stack find in its environment?"""

from __future__ import annotations

from collections.abc import Mapping

from include.local.ports import HOST
from include.local.workspace import STACK_MARKER, Workspace

_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "LD_LIBRARY_PATH"),
)


def base_env(workspace: Workspace, environ: Mapping[str, str]) -> dict[str, str]:
    """The small environment below every process of the stack, free of other programs' secrets.

    Args:
        workspace: Whose stack; its processes are marked with it.
        environ: The caller's environment.
    """
    env = {name: environ[name] for name in _INHERITED if name in environ}
    # A proxy is for the way out, never between the parts of the stack.
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [environ.get(name), HOST, "localhost"]))
    env["PYTHONUNBUFFERED"] = "1"  # logs appear as they are written
    # dags, plugins and include are imported from the project root, as on Astro.
    env["PYTHONPATH"] = str(workspace.root)
    env[STACK_MARKER] = str(workspace.state)
    return env
