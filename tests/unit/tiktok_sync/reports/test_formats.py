"""Numbers and dates of several countries, and what is not known."""

from __future__ import annotations

from datetime import date

import pytest

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.reports.formats import Formats, ReportSettings


@pytest.mark.parametrize(
    ("locale", "count", "gain", "percent", "span"),
    [
        ("en", "1,234,567", "−1,234", "5.1%", "Dec 28, 2026 – Jan 3, 2027"),  # noqa: RUF001 - as printed
        ("de", "1.234.567", "−1.234", "5,1\xa0%", "28. Dez. 2026 – 3. Jan. 2027"),  # noqa: RUF001 - as printed
    ],
)
def test_numbers_and_dates_are_written_as_in_the_readers_country(
    locale: str, count: str, gain: str, percent: str, span: str
) -> None:
    formats = Formats(locale)

    assert formats.count(1_234_567) == count
    assert formats.gain(-1234) == gain
    assert formats.percent(0.0512) == percent
    found = formats.span(date(2026, 12, 28), date(2027, 1, 3))
    assert found.replace("\u2009", " ") == span


@pytest.mark.parametrize(
    ("locale", "value", "shown"),
    [
        ("en", 70_845, "70.8K"),
        ("en", 1_234_567, "1.2M"),
        ("en", 895, "895"),
        ("en", 999_949, "999.9K"),
        ("en", 999_950, "1M"),
        ("en", -999_999_999, "-1B"),
        ("de", 999_999_999, "1\xa0Mrd."),
        ("de", 70_845, "70.845"),
        ("de", 64_118.5, "64.118"),
        ("de", 1_234_567, "1,2\xa0Mio."),
    ],
)
def test_a_charts_numbers_are_short_and_separated_as_in_the_readers_country(
    locale: str, value: float, shown: str
) -> None:
    assert Formats(locale).short(value) == shown


def test_unknown_is_a_dash_and_compares_with_nothing() -> None:
    formats = Formats()

    shown = {formats.count(None), formats.short(None), formats.gain(None), formats.percent(None)}
    assert shown == {"\u2013"}
    assert formats.count(0) == formats.gain(0) == "0"
    assert formats.change(None, 5) is formats.change(5, None) is None
    assert formats.change(5, 0) is formats.change(5, -5) is None
    assert formats.change(6, 5) == "+20%"
    assert formats.change(1004, 1000) == formats.change(996, 1000) == "0%"
    assert formats.change(201, 200) == "+1%"
    assert formats.change(-5, 5) == "\u2212200%"


@pytest.mark.parametrize("text", ["pt-BR", "pt_BR", " pt_BR "])
def test_a_locale_is_a_language_with_or_without_a_country(text: str) -> None:
    assert ReportSettings.from_env({"REPORT_LOCALE": text}).locale == "pt_BR"


@pytest.mark.parametrize("text", ["klingon", "de-XX-1", "../en", "?"])
def test_a_locale_that_does_not_exist_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match="REPORT_LOCALE must be a language"):
        ReportSettings.from_env({"REPORT_LOCALE": text})


def test_without_a_locale_it_is_english() -> None:
    assert ReportSettings.from_env({}).locale == "en"
