"""How are faults switched on and off while the sandbox runs? `/admin/faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from include.sandbox.admin.wire import check_store, json_object, names, only, refuse, whole
from include.sandbox.faults.plan import RulePlan
from include.sandbox.faults.rules import FAULT_TEXTS, parse_rules
from include.sandbox.faults.storm import SCENARIOS
from include.sandbox.faults.switch import NoFaults

if TYPE_CHECKING:
    from starlette.requests import Request

    from include.sandbox.admin.wire import Handler
    from include.sandbox.faults.switch import FaultSwitch

_MAX_SEED = 2**63


async def faults(switch: FaultSwitch, _: Request) -> Response:
    """`{"seed", "scenario", "rules": [{…, "hits": n}]}`; no rules when TikTok is healthy."""
    return JSONResponse(_shown(switch))


async def kinds(_switch: FaultSwitch, _: Request) -> Response:
    """Name of every fault -> what it does."""
    return JSONResponse(dict(FAULT_TEXTS))


async def replace_faults(switch: FaultSwitch, request: Request) -> Response:
    """Puts `{"seed"?, "rules": […]}` in force, in place of all rules before."""
    body = await json_object(request)
    only(body, {"seed", "rules"})
    rules = parse_rules(body.get("rules"), lambda code: switch.sandbox.number(code) is not None)
    switch.plan = RulePlan(_seed(switch, body), rules)
    return JSONResponse(_shown(switch))


async def start_scenario(switch: FaultSwitch, request: Request) -> Response:
    """Puts a scenario in force: `{"seed"?, "stores"?}`, the stores it may strike for good."""
    name = str(request.path_params["scenario"])
    if name not in SCENARIOS:
        refuse(f"{name}: no such scenario; only {', '.join(SCENARIOS)}", 404)
    body = await json_object(request)
    only(body, {"seed", "stores"})
    codes = list(names(body, "stores")) if "stores" in body else switch.sandbox.codes()
    for code in codes:
        check_store(switch.sandbox, code)
    switch.plan = switch.scenario(name, _seed(switch, body), codes)
    return JSONResponse(_shown(switch))


async def heal(switch: FaultSwitch, _: Request) -> Response:
    """No faults any more."""
    switch.plan = NoFaults()
    return Response(status_code=204)


FAULT_ROUTES: tuple[tuple[str, str, Handler[FaultSwitch]], ...] = (
    ("GET", "/faults", faults),
    ("POST", "/faults", replace_faults),
    ("DELETE", "/faults", heal),
    ("GET", "/faults/kinds", kinds),
    ("POST", "/faults/{scenario}", start_scenario),
)


def _seed(switch: FaultSwitch, body: dict[str, Any]) -> int:
    return whole(body, "seed", switch.sandbox.settings.seed, _MAX_SEED)


def _shown(switch: FaultSwitch) -> dict[str, Any]:
    plan = switch.plan
    if isinstance(plan, RulePlan):
        return plan.shown()
    return {"seed": switch.sandbox.settings.seed, "scenario": None, "rules": []}
