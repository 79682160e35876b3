"""deploy/new-env.sh makes .env once, and later adds what an older one lacks; it costs no value."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.compose.compose_file import COMPOSE_FILE, ENV_EXAMPLE, ROOT, new_env, read_env

SCRIPT = ROOT / "deploy" / "new-env.sh"


def run(file: Path, *, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run it on a file; ``typed`` is what the operator types behind it."""
    return subprocess.run(  # noqa: S603 - the product's own script
        ["/bin/sh", "-c", f'sh "{SCRIPT}" "{file}" {typed}'],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A fresh .env."""
    new_env(tmp_path / ".env")
    return tmp_path / ".env"


def test_a_new_file_is_its_owners_alone_and_secrets_are_printed_nowhere(tmp_path: Path) -> None:
    done = run(tmp_path / ".env")

    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    made = read_env(file.read_text(encoding="utf-8"))
    assert list(made) == list(read_env(ENV_EXAMPLE.read_text(encoding="utf-8")))
    assert done.stdout == ""
    assert made["TIKTOK_TOKEN_KEYS"] not in done.stderr


def test_doing_it_again_changes_nothing(file: Path) -> None:
    before = file.read_bytes()

    done = run(file)

    assert (done.returncode, file.read_bytes()) == (0, before)
    assert "lacks nothing" in done.stderr


def test_what_is_missing_is_added_and_nothing_else_is_touched(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    old = read_env(text)
    text = re.sub(r"^CONNECT_SECRET=.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^REDIS_PASSWORD=.*$", 'REDIS_PASSWORD="" ', text, flags=re.MULTILINE)
    text = re.sub(r"^ANALYST_DB_PASSWORD=.*$", "ANALYST_DB_PASSWORD=", text, flags=re.MULTILINE)
    text = re.sub(r"^MONITOR_DB_PASSWORD=.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^GRAFANA_PORT=.*$", "export GRAFANA_PORT=3333", text, flags=re.MULTILINE)
    text = text.replace("SYNC_TIMEZONE=UTC", "SYNC_TIMEZONE=Asia/Tokyo # ours \r")
    text += "# SOME_PASSWORD=\nSMTP_PASSWORD=\nLAST=no line end"
    file.write_text(text, encoding="utf-8", newline="")
    file.chmod(0o644)

    done = run(file)

    assert done.returncode == 0, done.stderr
    found = file.read_bytes().decode()
    new = read_env(found)
    assert "GRAFANA_PORT" not in new, "`export` says it too"
    assert len(new["CONNECT_SECRET"]) == 64
    assert len(new["REDIS_PASSWORD"]) == 32
    assert new["ANALYST_DB_PASSWORD"] == new["MONITOR_DB_PASSWORD"] == "", "nobody logs in with it"
    # Line by line as it was, but for the empty secret, and what is added stands behind it.
    lines, before = found.split("\n"), text.split("\n")
    differing = [old for old, new in zip(before, lines, strict=False) if old != new]
    assert differing == ['REDIS_PASSWORD="" ']
    assert read_env("\n".join(lines[len(before) :])).keys() == {
        "CONNECT_SECRET",
        "MONITOR_DB_PASSWORD",
    }
    assert new["TIKTOK_TOKEN_KEYS"] == old["TIKTOK_TOKEN_KEYS"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == [".env"]
    assert set(done.stderr.split(": ")[-1].split(" ")) >= {"CONNECT_SECRET", "REDIS_PASSWORD"}
    assert new["CONNECT_SECRET"] not in done.stderr
    assert "lacks nothing" in run(file).stderr


def test_a_new_token_key_in_an_old_file_is_pointed_out(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"^TIKTOK_TOKEN_KEYS=.*\n", "", text, flags=re.MULTILINE))

    assert "put the old key in its place" in run(file).stderr


def test_a_file_that_the_shell_has_just_emptied_is_not_filled_with_new_keys(file: Path) -> None:
    done = run(file, typed=f'> "{file}"')

    assert done.returncode == 2
    assert "Put your copy of it back" in done.stderr
    assert file.read_bytes() == b""


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    target, link = tmp_path / "safe" / "env", tmp_path / ".env"
    target.write_text("SYNC_TIMEZONE=Asia/Tokyo\n", encoding="utf-8")
    link.symlink_to(target)

    assert run(link).returncode == 0
    assert link.is_symlink()
    assert read_env(target.read_text(encoding="utf-8"))["SYNC_TIMEZONE"] == "Asia/Tokyo"
    assert "CONNECT_SECRET" in target.read_text(encoding="utf-8")


OURS = "TIKTOK_TOKEN_KEYS=ours"


@pytest.mark.parametrize(
    "lines",
    [
        f"{OURS}\nTIKTOK_TOKEN_KEYS=\n",
        f"TIKTOK_TOKEN_KEYS=\n{OURS}\n",
        f'export {OURS}\nTIKTOK_TOKEN_KEYS: ""\n',
        f"\ufeff{OURS}\n",
        f"\ufeff\n{OURS}\n",
        f'NOTE="\nTIKTOK_TOKEN_KEYS=\n\\" still\n"\n{OURS}\n',
        f"NOTE='one line' # '\n{OURS}\n",
        f"{OURS}\nNOTE='\nTIKTOK_TOKEN_KEYS= # example\n'\n",
        f'{OURS}\nNOTE="\nREDIS_PASSWORD=\n"\n',
        "TIKTOK_TOKEN_KEYS=#ours\n",
    ],
)
def test_no_second_key_is_made_where_there_is_one(tmp_path: Path, lines: str) -> None:
    file = tmp_path / ".env"
    file.write_text(lines, encoding="utf-8")

    done = run(file)

    assert done.returncode == 0, done.stderr
    found = file.read_text(encoding="utf-8")
    assert found.startswith(lines.lstrip("\ufeff")), "not a line of it is another"
    assert "TIKTOK_TOKEN_KEYS" not in done.stderr
    assert "CONNECT_SECRET" in done.stderr
    assert "lacks nothing" in run(file).stderr


@pytest.mark.parametrize(
    "line",
    [
        "TIKTOK_TOKEN_KEYS= # fill in",
        "export TIKTOK_TOKEN_KEYS=",
        "\ufeffTIKTOK_TOKEN_KEYS=",
        "TIKTOK_TOKEN_KEYS = '' # fill in\r",
    ],
)
def test_an_empty_key_is_filled_in_however_it_is_written(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{line}\nNOTE=x\n", encoding="utf-8", newline="")

    done = run(file)

    assert done.returncode == 0, done.stderr
    found = file.read_text(encoding="utf-8")
    assert found.count("TIKTOK_TOKEN_KEYS") == 1
    assert re.match(r"TIKTOK_TOKEN_KEYS=[\w-]{43}=\nNOTE=x\n", found)
    assert "put the old key in its place" in re.sub(r"\s+", " ", done.stderr)


def test_a_quotation_mark_that_is_never_closed_stops_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"A=1\nNOTE='it\n{OURS}\n", encoding="utf-8")

    done = run(file)

    assert done.returncode == 2
    assert "line 2 is never closed" in done.stderr
    assert file.read_text(encoding="utf-8") == f"A=1\nNOTE='it\n{OURS}\n"
    assert [entry.name for entry in tmp_path.iterdir()] == [".env"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    link = tmp_path / ".env"
    link.symlink_to(tmp_path / "gone" / "env")

    for file in (link, tmp_path / "missing" / ".env"):
        done = run(file)
        assert done.returncode == 2
        assert done.stderr.startswith("new-env: ")
        assert str(file.parent if file != link else file) in done.stderr


def test_without_random_bytes_there_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "head").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (folder / "head").chmod(0o755)

    done = subprocess.run(  # noqa: S603 - the product's own script
        ["/bin/sh", str(SCRIPT), str(tmp_path / ".env")],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "random bytes" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["bin"]


def test_no_text_advises_to_redirect_into_env() -> None:
    texts = [COMPOSE_FILE, ENV_EXAMPLE, ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    redirect = re.compile(r"new-env\.sh[^\n`]*>\s*\.env")

    assert [str(file) for file in texts if redirect.search(file.read_text(encoding="utf-8"))] == []
