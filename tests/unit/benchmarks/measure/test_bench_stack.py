"""The first Dags run on Airflow's defaults: nothing that the local stack sets for speed is left."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.measure.bench_stack import PRELOAD, TUNED, BenchStack
from benchmarks.measure.variants import FIRST, VARIANTS, chosen
from include.local.processes.programs import AIRFLOW


@pytest.fixture
def stack(tmp_path: Path) -> BenchStack:
    stack = BenchStack.load({"LOCAL_STATE_DIR": str(tmp_path)})
    stack.workspace.create_folders()
    return stack


def test_the_first_dags_have_airflows_defaults_and_no_preload(stack: BenchStack) -> None:
    ours = stack.wanted_programs()
    stack.set_up = FIRST
    first = stack.wanted_programs()

    assert first["sandbox"] == ours["sandbox"]
    for name in AIRFLOW:
        assert ours[name].launch.env.keys() >= set(TUNED)
        env = first[name].launch.env
        assert not env.keys() & set(TUNED)
        assert not [variable for variable in env if variable.startswith("AIRFLOW_CONN_")]
        assert first[name].digest() != ours[name].digest()
        dags = Path(env["AIRFLOW__CORE__DAGS_FOLDER"])
        assert {file.name for file in dags.glob("*.py")} == {
            "refresh_tokens.py",
            "sync_user_daily.py",
            "sync_video_daily.py",
        }
        plugins = Path(env["AIRFLOW__CORE__PLUGINS_FOLDER"])
        assert (plugins / "tiktok_airflow" / "hooks" / "store_db_hook.py").exists()
        assert not (plugins / PRELOAD).exists()


def test_a_setting_that_is_gone_is_noticed(
    stack: BenchStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.measure.bench_stack.TUNED", ("AIRFLOW__CORE__GONE",))
    stack.set_up = FIRST

    with pytest.raises(BenchError, match="AIRFLOW__CORE__GONE"):
        stack.wanted_programs()


def test_several_stores_a_task_is_a_setting_of_the_package(stack: BenchStack) -> None:
    variant = next(variant for variant in VARIANTS if variant.key == "a-user-5")
    stack.set_up = variant.set_up

    assert stack.wanted_programs()["scheduler"].launch.env["STORES_PER_TASK"] == "5"


def test_an_enforced_limit_and_one_lane_are_settings_of_the_processes_that_sync(
    stack: BenchStack,
) -> None:
    found = {variant.key: variant for variant in VARIANTS if variant.limit}
    assert found.keys() == {"a-known", "a-known-1", "b-known", "c-known"}
    limit = {"TIKTOK_RATE_LIMIT_PER_MINUTE": "600"}
    assert found["a-known"].extra == limit
    assert found["c-known"].extra == {**limit, "VIDEO_LANES": "1"}
    stack.set_up = found["a-known-1"].set_up
    env = stack.wanted_programs()["scheduler"].launch.env
    assert env.items() >= {**limit, "VIDEO_LANES": "1"}.items()


def test_variants_are_picked_by_name_and_latency() -> None:
    assert chosen([], None) == list(VARIANTS)
    assert [one.key for one in chosen(["c-both", "a-user"], None)] == ["c-both", "a-user"]
    assert {one.latency for one in chosen([], "lognormal")} == {"lognormal"}
    with pytest.raises(ValueError, match="no variant z"):
        chosen(["z"], None)
    with pytest.raises(ValueError, match="constant or lognormal"):
        chosen([], "slow")


def test_variants_without_airflow_come_first_and_each_set_up_once() -> None:
    with_airflow = [variant.uses_airflow for variant in VARIANTS]
    assert with_airflow == sorted(with_airflow)
    set_ups = [variant.set_up for variant in VARIANTS if variant.uses_airflow]
    changes = sum(one != other for one, other in pairwise(set_ups))
    assert changes == 5
