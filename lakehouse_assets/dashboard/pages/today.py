"""Today: one screen that says whether a person is needed."""

import streamlit as st

from lakehouse_assets.dashboard.data import today as data
from lakehouse_assets.dashboard.data.quality import count_quarantined
from lakehouse_assets.dashboard.data.today import Problem
from lakehouse_assets.dashboard.style import count, size
from lakehouse_assets.dashboard.view import View, show_table

_DAYS = 14
_SHOWN = 12


def show(view: View) -> None:
    """Show what arrived, what is late, what failed, and what waits in quarantine."""
    books = view.books()
    newest = data.newest_landing(books, view.filters)
    filters = view.filters.within(newest, _DAYS)
    sources = data.by_source(books, filters)
    plan, refusals = view.plan()
    newest_rows = data.newest_rows(books)
    late = data.of_chosen(data.late(view.catalog, plan, newest_rows, data.newest_landing(books, data.ALL)), view.filters)
    failed = data.failed(view.catalog, plan, refusals, view.state)
    failed += data.failed_runs(books, view.catalog, {problem.what.partition(" of ")[0] for problem in failed})
    failed = data.of_chosen(failed, view.filters)
    st.caption(f"Files that landed on {filters.words}; the newest are of {newest or '-'}.")
    arrived, was_late, has_failed, waits = st.columns(4)
    arrived.metric(
        "Rows arrived",
        f"{int(sources['rows'].sum()):,}",
        delta_description=f"{count(sources['files'].sum(), 'file')}, {size(float(sources['bytes'].sum()))}",
        border=True,
    )
    was_late.metric("Late", f"{len(late)}", delta_description="deliveries and tables" if late else "nothing is late", border=True)
    has_failed.metric("Failed", f"{len(failed)}", delta_description="to be mended" if failed else "nothing failed", border=True)
    quarantined = count_quarantined(books, filters)
    waits.metric("Rows in quarantine", f"{quarantined:,}", delta_description="on these dates", border=True)

    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader("By source")
        _show_sources(view, sources.to_dict("records"), late, failed)
        if plan.tables:
            tables = ", ".join(dict.fromkeys(f"{t.layer}.{t.table}" for t in plan.tables[:_SHOWN]))
            more = f" and {len(plan.tables) - _SHOWN} more" if len(plan.tables) > _SHOWN else ""
            st.markdown(
                f"**The next pass builds** {len(plan.tables)} tables from {count(len(plan.files), 'new or changed file')}: "
                f"{tables}{more}. Start it with `lakehouse sync`."
            )
        else:
            st.markdown("**The next pass has nothing to do:** all tables are up to date with landing.")
        if run := data.last_run(books):
            outcome = f"{count(run.built, 'table')} built" + (f", {run.failed} failed" if run.failed else "")
            st.markdown(f"**The last run** began at {run.started:%Y-%m-%d %H:%M} UTC: {outcome} in {run.seconds:,.0f} s.")
    with right:
        _show_problems("Failed", failed, "Nothing failed: every table is built from what has landed.")
        _show_problems("Late", late, "Everything that is expected has arrived.")


def _show_sources(view: View, rows: list[dict[str, object]], late: list[Problem], failed: list[Problem]) -> None:
    """Show a row a source."""
    for row in rows:
        system = row["system"]
        row["late"] = sum(p.system == system for p in late)
        row["failed"] = sum(p.system == system for p in failed)
        row["status"] = "✗ failed" if row["failed"] else "! late" if row["late"] else "✓ fine"
        row["newest"] = f"{row['newest']:%Y-%m-%d}" if row["newest"] == row["newest"] and row["newest"] is not None else "-"
    if not rows:
        st.markdown("These sources have not delivered anything.")
        return
    columns = {
        "system": "Source",
        "status": "Status",
        "newest": "Newest",
        "files": "Files",
        "rows": "Rows",
        "quarantined": "Quarantined",
    }
    show_table(
        columns,
        rows,
        {
            "system": lambda row: view.address("flow", source=str(row["system"])),
            "quarantined": lambda row: view.address("quality", source=str(row["system"])) if row["quarantined"] else None,
        },
    )


def _show_problems(title: str, problems: list[Problem], none: str) -> None:
    st.subheader(title)
    if not problems:
        st.markdown(f"✓ {none}")
        return
    with st.container(height=320 if len(problems) > 3 else "content"):
        for problem in problems[:_SHOWN]:
            st.markdown(f"**{problem.what}** {problem.reason}  \n{problem.remedy}")
        if len(problems) > _SHOWN:
            st.markdown(f"{len(problems) - _SHOWN} more: `lakehouse plan` lists all.")
