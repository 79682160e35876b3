"""What an operator of a nightly sync must know, as the Dag's page in Airflow shows it."""

from __future__ import annotations

from collections.abc import Mapping

_CHECK = "the check itself could not run; the figures are unaffected | see its log; not urgent"


GONE_AT_MIDNIGHT = (
    "A day can be saved until it ends in `SYNC_TIMEZONE`; after midnight TikTok\nshows other"
    " figures, and those are marked late."
)
KEPT_FOR_60_DAYS = (
    "Nothing is lost for 60 days: TikTok keeps each day so long, and the next\nrun reads it again."
)


def sync_page(
    about: str | None,
    *,
    task: str,
    does: str,
    skipped: str,
    checks: Mapping[str, str],
    how_long: str = GONE_AT_MIDNIGHT,
) -> str:
    """A sync's own text, and what is the same for all of them; the same at each parse.

    Args:
        about: Docstring of the Dag's file: what it is for.
        task: Id of its mapped task.
        does: What that task does, after "syncs one store per task".
        skipped: Why that task skips a store, and what the task's name tells.
        checks: Name of each data check -> the question it answers.
        how_long: Until when a failed run can be made good.
    """
    rows = "\n".join(
        f"| `data_checks.{name}` | {question} | {_CHECK} |" for name, question in checks.items()
    )
    return _PAGE.format(
        about=about, task=task, does=does, skipped=skipped, checks=rows, how_long=how_long
    )


_PAGE = """\
{about}
**Woken up?** Open the run and read the last line of the log of `record_summary`: how many stores
failed, and why. {how_long}

| task | what it does | red means | what to do |
| --- | --- | --- | --- |
| `list_stores` | checks schema, keys and TikTok app, then lists the stores | nothing was synced: a setting is wrong, `stores` names one that does not exist, or the database or TikTok is unavailable | do what the last line of its log says, then clear the run |
| `{task}` | syncs one store per task (several above 500 stores){does} | a store failed after all its tries; the task's name says why | a few: clear them. If most failed for one reason, fix that first (TikTok down? database? network?), then clear all that failed |
{checks}
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none could be listed | clear what failed before it, with *Downstream*: it runs again after that |

Other colours: **orange** (up for retry) waits and retries by itself; leave it. **Pink** (skipped)
`{task}`: {skipped}
**Pink** check: it found something; its log and the summary's `details -> 'warnings'` name the
stores and the next step. The run does not fail for either.

**Retry:** clearing is always safe, even in a run that is still active: rows are replaced, never
duplicated. Leave *Downstream* on, so that the checks and the summary run again, and *Clear only
failed tasks* off.

- stores: open `{task}`, tick those that failed (sort by *State*), *Clear Task Instances*
- the whole run: open the run, *Clear*
- a store outside the run: *Trigger*, and enter its code under *Stores*

**Alerts:** a run that takes longer than `SLA_MINUTES` (15), fails, leaves stores without figures or
finds a dead grant raises one alert, through the Airflow connection `tiktok_alerts`.
"""
