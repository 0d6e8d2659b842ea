"""Quality: which rules rows break, and the rows in quarantine with the way to mend them."""

import plotly.express as px
import streamlit as st

from lakehouse_assets.dashboard.data import quality as data
from lakehouse_assets.dashboard.data.today import newest_landing
from lakehouse_assets.dashboard.style import count, share
from lakehouse_assets.dashboard.view import View, show_empty, show_table

_DAYS = 30
_WORST = 12
_ROWS = 200
_OUTCOMES = {"warn": "stays, and is counted", "drop": "goes to quarantine", "fail": "its date is not built"}


def show(view: View) -> None:
    """Show rules, worst first, and the quarantine."""
    books = view.books()
    filters = view.filters.within(newest_landing(books, view.filters), _DAYS)
    rules = data.broken_rules(books, filters)
    over_time = data.rule_over_time(books, filters)
    judged = int(over_time["rows_in"].sum())
    quarantined = data.count_quarantined(books, filters)
    st.caption(f"Rows that landed on {filters.words}.")
    first, second, third = st.columns(3)
    first.metric("In quarantine", count(quarantined, "row"), border=True)
    second.metric(
        "Of the rows judged", share(quarantined / judged if judged else None), delta_description=f"of {judged:,}", border=True
    )
    third.metric("Rules broken", f"{len(rules):,}", delta_description="by at least one row", border=True)
    if rules.empty:
        show_empty("No row broke a rule on these dates.", "Widen the dates on the left to look further back.")
        return
    st.subheader("Quarantined by landing date")
    figure = px.bar(
        over_time,
        x="date",
        y="quarantined",
        color="system",
        color_discrete_map=view.colours,
        labels={"date": "", "quarantined": "rows", "system": "Source"},
    )
    figure.update_layout(height=240, margin={"l": 0, "r": 0, "t": 10, "b": 0})
    st.plotly_chart(figure, alt="Rows in quarantine by landing date and source")
    st.subheader("Rules, worst first")
    worst = data.worst_first(rules, view.catalog)
    rows = [
        {
            **row,
            "table": f"{row['layer']}.{row['table_name']}",
            "share": share(row["share"]),
            "outcome": _OUTCOMES[row["outcome"]],
        }
        for row in worst
    ]
    columns = {
        "rule": "Rule",
        "table": "Table",
        "outcome": "What happens to the row",
        "rows": "Rows",
        "share": "Share",
        "dates": "Dates",
    }
    links = {"rule": lambda row: view.address("quality", table=row["table_name"], rule=row["rule"])}
    show_table(columns, rows[:_WORST], links)
    if len(rows) > _WORST:
        with st.expander(f"{len(rows) - _WORST} more rules that were broken"):
            show_table(columns, rows[_WORST:], links)
    _show_quarantine(view, rules["table_name"].tolist(), rules["rule"].tolist())


def _show_quarantine(view: View, tables: list[str], rules: list[str]) -> None:
    """Show rows in quarantine with their original text, and how they are mended."""
    st.subheader("Quarantine")
    books = view.books()
    filters = view.filters.within(newest_landing(books, view.filters), _DAYS)
    left, right = st.columns(2)
    table = left.selectbox("Table", sorted({*tables}), index=None, key="table", bind="query-params", placeholder="All tables")
    rule = right.selectbox("Rule", sorted({*rules}), index=None, key="rule", bind="query-params", placeholder="All rules")
    rows = data.quarantined_rows(books, filters, table, rule, _ROWS)
    if not rows.num_rows:
        st.markdown("No row is in quarantine for this choice: rows that break a rule that only warns stay in their table.")
    else:
        total = data.count_quarantined(books, filters, table, rule)
        st.caption(f"{min(total, _ROWS):,} of {total:,} rows, with their original text.")
        st.dataframe(
            rows,
            hide_index=True,
            height=300,
            alt="Rows in quarantine with their original text",
            column_order=["text", "reason", "table_name", "date", "file", "row_number", "rule"],
            column_config={
                "text": st.column_config.TextColumn("Original text", width="large"),
                "reason": "Reason",
                "table_name": "Table",
                "date": "Date",
                "file": "File",
                "row_number": "Row",
                "rule": "Rule",
            },
        )
    if table and rule:
        layer = str(rows["layer"][0]) if rows.num_rows else "silver"
        mending = data.mending(view.catalog, layer, table, rule)
        with st.container(border=True):
            st.markdown(f"**How to mend it.** {mending.sentence}  \nOwner: `{mending.owner}`")
            if mending.commands:
                st.code("\n".join(mending.commands), language="bash")
    else:
        st.caption("Choose a table and a rule to see how its rows are mended.")
