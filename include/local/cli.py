"""Which commands does the local stack have? ``python -m include.local --help``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from include.local.console import explained, result, say
from include.local.environment import base_env
from include.local.errors import ConfigError
from include.local.parts.airflow_env import command_env, product_env
from include.local.processes.programs import programs
from include.local.processes.supervisor import RUNNING
from include.local.run.sync import sync as run_sync
from include.local.stack import Stack

app = typer.Typer(
    help="The local stack: Postgres, a local TikTok and Airflow, all on 127.0.0.1.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a rich traceback prints local variables: secrets
)


@app.command()
@explained
def up() -> None:
    """Start what does not run yet, and wait until it is ready."""
    Stack.load().up()


@app.command()
@explained
def down() -> None:
    """Stop everything; no process of the stack is left."""
    ended = Stack.load().down()
    say("The stack is down." if ended else "The stack was not running.")


@app.command()
@explained
def status() -> None:
    """Show each part; exit status 1 unless all run."""
    stack = Stack.load()
    states = stack.states()
    table = Table("part", "state", "pid", "for", "port")
    wanted = programs(stack.workspace, stack.settings)
    for name, program in wanted.items():
        state = states.get(name)
        running = state is not None and state.pid
        table.add_row(
            name,
            state.state if state else "STOPPED",
            str(state.pid) if state and running else "",
            f"{time.time() - state.started:.0f} s" if state and running else "",
            stack.settings.env[program.port_key] if program.port_key else "",
        )
    result.print(table)
    result.print(f"Logs: {stack.workspace.log_file('*')}", markup=False)
    if any(name not in states or states[name].state != RUNNING for name in wanted):
        raise typer.Exit(1)


@app.command()
@explained
def sync() -> None:
    """Start the stack, run both Dags once and show the results."""
    stack = Stack.load()
    stack.up()
    if not run_sync(stack):
        raise typer.Exit(1)


@app.command("db-url")
@explained
def db_url() -> None:
    """Print the libpq URL of the product's database."""
    typer.echo(Stack.load().settings.store_db_url)


@app.command("ui-url")
@explained
def ui_url() -> None:
    """Print the address of Airflow's UI."""
    typer.echo(Stack.load().settings.airflow_url)


@app.command("stores-import")
@explained
def stores_import(
    file: Annotated[Path, typer.Argument(help="CSV with the stores and their tokens.")],
    *,
    new: Annotated[
        bool, typer.Option("--new", help="Take new codes although they look like others.")
    ] = False,
    replace_tokens: Annotated[
        bool, typer.Option("--replace-tokens", help="Take tokens older than those stored.")
    ] = False,
) -> None:
    """Import stores into the product's database, starting Postgres if need be."""
    if not file.is_file():
        message = f"There is no file {file}. Give the path of a CSV file: FILE=stores.csv"
        raise ConfigError(message)
    stack = Stack.load()
    stack.up_database()
    options = [*(["--new"] if new else []), *(["--replace-tokens"] if replace_tokens else [])]
    command = ["stores", "import", *options, str(file.resolve())]
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [sys.executable, "-m", "include.tiktok_sync", *command],
        cwd=stack.workspace.root,
        env={
            **base_env(stack.workspace, os.environ),
            **product_env(stack.settings),
        },
        check=False,
    )
    raise typer.Exit(done.returncode)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@explained
def run(
    command: Annotated[list[str], typer.Argument(help="A command and its arguments.")],
) -> None:
    """Run a command in the stack's environment, for example: run -- airflow dags list."""
    stack = Stack.load()
    stack.workspace.create_folders()
    # Another Airflow's settings in the caller's shell must not leak into this one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    env |= command_env(stack.workspace, stack.settings)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    try:
        os.execvpe(command[0], command, env)  # noqa: S606 - the user's own command, no shell
    except OSError as error:
        message = f"{command[0]} cannot be run: {error.strerror}."
        raise ConfigError(message) from error
