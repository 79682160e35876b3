"""Tables to be opened in a spreadsheet or used for a mail merge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastapi import Response

from include.tiktok_sync.stores.csv_cells import csv_lines


def csv_download(
    file_name: str, header: Sequence[str], rows: Iterable[Iterable[object]]
) -> Response:
    """A CSV as a file to be kept.

    Args:
        file_name: What it is called; plain ASCII.
        header: Names of its columns.
        rows: Their cells.
    """
    return Response(
        "".join(csv_lines(header, rows)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )
