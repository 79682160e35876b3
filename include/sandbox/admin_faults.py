"""How are faults switched while the sandbox runs? `/admin/faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from include.sandbox.admin_wire import check_store, json_object, names, only, refuse, whole
from include.sandbox.fault_plan import RulePlan
from include.sandbox.fault_rules import FAULT_TEXTS, parse_rules
from include.sandbox.faults import NoFaults
from include.sandbox.storm import SCENARIOS

if TYPE_CHECKING:
    from starlette.requests import Request

    from include.sandbox.admin_wire import Handler
    from include.sandbox.runtime import Sandbox

_MAX_SEED = 2**63


async def faults(sandbox: Sandbox, _: Request) -> Response:
    """`{"seed", "scenario", "rules": [{…, "hits": n}]}`; no rules when TikTok is healthy."""
    return JSONResponse(_shown(sandbox))


async def kinds(_sandbox: Sandbox, _: Request) -> Response:
    """Name of every fault -> what it does."""
    return JSONResponse(dict(FAULT_TEXTS))


async def replace_faults(sandbox: Sandbox, request: Request) -> Response:
    """Puts `{"seed"?, "rules": […]}` in force, in place of all rules before."""
    body = await json_object(request)
    only(body, {"seed", "rules"})
    rules = parse_rules(body.get("rules"), lambda code: sandbox.number(code) is not None)
    sandbox.faults = RulePlan(_seed(sandbox, body), rules)
    return JSONResponse(_shown(sandbox))


async def start_scenario(sandbox: Sandbox, request: Request) -> Response:
    """Puts a scenario in force: `{"seed"?, "stores"?}`, the stores it may strike for good."""
    name = str(request.path_params["scenario"])
    if name not in SCENARIOS:
        refuse(f"{name}: no such scenario; only {', '.join(SCENARIOS)}", 404)
    body = await json_object(request)
    only(body, {"seed", "stores"})
    codes = list(names(body, "stores")) if "stores" in body else sandbox.codes()
    for code in codes:
        check_store(sandbox, code)
    sandbox.faults = sandbox.scenario(name, _seed(sandbox, body), codes)
    return JSONResponse(_shown(sandbox))


async def heal(sandbox: Sandbox, _: Request) -> Response:
    """No faults any more."""
    sandbox.faults = NoFaults()
    return Response(status_code=204)


FAULT_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/faults", faults),
    ("POST", "/faults", replace_faults),
    ("DELETE", "/faults", heal),
    ("GET", "/faults/kinds", kinds),
    ("POST", "/faults/{scenario}", start_scenario),
)


def _seed(sandbox: Sandbox, body: dict[str, Any]) -> int:
    return whole(body, "seed", sandbox.settings.seed, _MAX_SEED)


def _shown(sandbox: Sandbox) -> dict[str, Any]:
    plan = sandbox.faults
    if isinstance(plan, RulePlan):
        return plan.shown()
    return {"seed": sandbox.settings.seed, "scenario": None, "rules": []}
