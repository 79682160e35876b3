"""A store that changes its account: what happens to the second grant and to its figures.

The second grant of another account is ended here, with a row of the audit, but TikTok keeps it
until it is revoked. So its reason is told apart from those of grants that are dead.
"""

# ruff: noqa: S608, SLF001 - made of constants of this file and of those it changes
from __future__ import annotations

from importlib import import_module
from typing import Any

from alembic import op

revision = "0025"
down_revision = "0024"

_VERSIONS = "include.migrations.versions"
_grants: Any = import_module(f"{_VERSIONS}.0022_business_grants")
_insights: Any = import_module(f"{_VERSIONS}.0023_insights")
_consent: Any = import_module(f"{_VERSIONS}.0024_second_consent")

_LIVES = """
CREATE FUNCTION other_account_reason() RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'The store has been connected to another account since. Connect that one'
        || ' to the Accounts API as well (stores link --business).'
$$;
CREATE FUNCTION lives_at_tiktok(status text, status_reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT status <> 'needs_consent' OR status_reason IS NOT DISTINCT FROM other_account_reason()
$$
"""

_FORGET = """
ALTER TABLE account_daily ADD COLUMN of_former_account boolean NOT NULL DEFAULT false;
CREATE FUNCTION forget_unsettled_days(p_store text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM account_daily WHERE store_code = p_store AND NOT is_final;
    UPDATE account_daily SET of_former_account = true
    WHERE store_code = p_store AND NOT of_former_account
$$;
REVOKE ALL ON FUNCTION forget_unsettled_days(text) FROM PUBLIC
"""

_CONFIRM_TEXTS = (
    (
        _consent._CONFIRM_TEXTS[1][1],
        """    -- The same account under a new name keeps its second grant. That of another one
    -- gets the reason even if it had ended before, so that no recheck brings it back.
    IF found_verdict <> 'same' THEN
        WITH before AS (
            SELECT store_code, status FROM business_tokens
            WHERE store_code = held.store_code AND (found_verdict = 'replaces'
                OR lower(business_username(held.store_code)) <> lower(held.username))
            FOR UPDATE
        ), ended AS (
            UPDATE business_tokens AS b SET status = 'needs_consent',
                status_since = CASE WHEN b.status = 'needs_consent' THEN b.status_since ELSE now()
                    END,
                status_reason = other_account_reason(), updated_at = now(),
                refresh_started_at = NULL
            FROM before WHERE b.store_code = before.store_code
        )
        INSERT INTO store_audit (store_code, action, actor, details)
        SELECT store_code, 'grant_ended', 'store manager', jsonb_build_object('api', 'business',
            'from', status, 'to', 'needs_consent', 'reason', other_account_reason())
        FROM before WHERE status <> 'needs_consent';
    END IF;
    UPDATE connect_links SET used_at""",
    ),
)

_BUSINESS_CONFIRM = _consent._CONFIRM.replace("connect_", "connect_business_", 1)
_BUSINESS_CONFIRM_TEXTS = (
    (
        "    UPDATE connect_links SET used_at",
        """    IF found_verdict = 'replaces' THEN
        PERFORM forget_unsettled_days(held.store_code);
    END IF;
    UPDATE connect_links SET used_at""",
    ),
)

_REWRITTEN = {
    _consent._CONFIRM: _CONFIRM_TEXTS,
    _BUSINESS_CONFIRM: _BUSINESS_CONFIRM_TEXTS,
}
_COMMENTS = {
    "FUNCTION other_account_reason()": (
        "The status_reason of a second grant whose store has connected another account"
    ),
    "FUNCTION lives_at_tiktok(text, text)": (
        "Whether a grant must be revoked when its store leaves: it is not known to have ended at"
        " TikTok"
    ),
    "FUNCTION forget_unsettled_days(text)": (
        "Delete a store''s days of account_daily that are not final, and close the others, because"
        " its second grant is another account''s now: the figures of two accounts must not meet in"
        " one day"
    ),
    "COLUMN account_daily.of_former_account": (
        "The store has connected another account since: this day stays as it is, with its gaps"
    ),
}


def _newest_known(alias: str, names: tuple[str, ...], only: str = "") -> str:
    known = " OR ".join(f"k.{name} IS NOT NULL" for name in names)
    return f"""
LEFT JOIN LATERAL (
    SELECT k.snapshot_date, {", ".join(f"k.{name}" for name in names)}
    FROM video_insights_daily AS k
    WHERE k.store_code = i.store_code AND k.video_id = i.video_id
        AND k.snapshot_date <= i.snapshot_date AND ({known}){only}
    ORDER BY k.snapshot_date DESC
    LIMIT 1
) AS {alias} ON true
"""


# One row may have a post's reach and another one how it was watched; of a photo, none has that.
_NO_PHOTO = " AND i.media_type IS DISTINCT FROM 'PHOTO'"
_REACH, _WATCHED = _insights._KNOWN[:1], _insights._KNOWN[1:]
# As ACCOUNT_SCOPES says: of a day's figures, one needs another permission.
_OF_STATS = ("followers_count",)
_OF_INSIGHTS = tuple(name for name in _insights._STUDIO if name not in _OF_STATS)

_VIEWS = {
    _insights._VIDEO_PERFORMANCE: (
        (
            _insights._NEWEST_KNOWN,
            _newest_known("reached", _REACH) + _newest_known("watched", _WATCHED, _NO_PHOTO),
        ),
        (
            _insights._KNOWN_COLUMNS,
            ", ".join(
                f"{'reached' if name in _REACH else 'watched'}.{name} AS last_{name}"
                for name in _insights._KNOWN
            )
            + ", greatest(reached.snapshot_date, watched.snapshot_date) AS last_known_on",
        ),
    ),
    _insights._ABSENT: (
        (
            f"SELECT {_insights._missing('a', _insights._STUDIO)}, 'left out by TikTok'",
            f"""SELECT {_insights._missing("a", _OF_INSIGHTS)}, 'left out by TikTok'
    WHERE a.store_code IS NOT NULL
    UNION ALL
    SELECT {_insights._missing("a", _OF_STATS)},
        CASE {_insights._not_granted("user.info.stats")} ELSE 'left out by TikTok' END""",
        ),
    ),
}

# What is commented -> the comment so far, and what is replaced in it by what.
_CHANGED_COMMENTS: dict[str, tuple[str, str, str]] = {
    "COLUMN account_daily.is_final": (
        _insights._COMMENTS["TABLE account_daily"]["is_final"],
        "it no longer changes",
        "its figures no longer change, and only gaps are filled",
    ),
    "TABLE account_daily": (
        _insights._COMMENTS["TABLE account_daily"][""],
        "A figure never",
        (
            "Final days stay when the store connects another account: they are its history, as it"
            " was; days that are not final go then, and are read again from the new account."
            " A figure never"
        ),
    ),
    "TABLE business_tokens": (
        _grants._COMMENTS["TABLE business_tokens"].replace("''", "'"),
        "Business API",
        "Accounts API",
    ),
    "COLUMN business_tokens.app_fingerprint": (
        _grants._COMMENTS["COLUMN business_tokens.app_fingerprint"],
        "Which Business app",
        "Which app of the Accounts API",
    ),
    "COLUMN video_performance.last_known_on": (
        _insights._COMMENTS["VIEW video_performance"]["last_known_on"],
        "The day of these newest known figures",
        "The newest day on which reach or watch figures were known",
    ),
}


def upgrade() -> None:
    """Replace the functions; who owns and may call them stays."""
    op.execute(_LIVES)
    for function, texts in _REWRITTEN.items():
        _consent._rewrite(function, texts, keep=True)
    for view, changes in _VIEWS.items():
        text = view
        for former, new in changes:
            text = text.replace(former, new)
        _replace_view(text)
    op.execute(_FORGET)  # after the views: one that joins the whole table would need the column
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")
    for target, (comment, former, new) in _CHANGED_COMMENTS.items():
        _comment(target, comment.replace(former, new))


def downgrade() -> None:
    """Put them back as they were."""
    for function, texts in _REWRITTEN.items():
        before = tuple((after, former) for former, after in texts)
        _consent._rewrite(function, before, keep=True)
    op.execute("ALTER TABLE account_daily DROP COLUMN of_former_account")
    for view in _VIEWS:
        _replace_view(view)
    for target, (comment, _, _) in _CHANGED_COMMENTS.items():
        _comment(target, comment)
    op.execute("DROP FUNCTION forget_unsettled_days, lives_at_tiktok, other_account_reason")


def _replace_view(text: str) -> None:
    """Its comments stay, and who may read it."""
    op.get_bind().exec_driver_sql(text.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))


def _comment(target: str, text: str) -> None:
    quoted = text.replace("'", "''")
    op.get_bind().exec_driver_sql(f"COMMENT ON {target} IS '{quoted}'")
