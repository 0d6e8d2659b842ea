"""From a plan to runs: where ranges are split, and what distinguishes differences."""

from datetime import date, timedelta

from lakehouse_assets.contracts.contract import Column, Contract, Relationship
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.reconcile.plan import Plan, PlannedTable
from lakehouse_assets.reconcile.runs import rows_runs
from tests.support.declare import one_feed

FIRST = date(2026, 1, 1)

CONTRACT = {"description": "Things", "owner": "team:shop", "key": ("thing_id",), "columns": (Column("thing_id", "string", ""),)}


def take(raw):
    return raw


def day(number):
    return FIRST + timedelta(days=number - 1)


def table(name, numbers, *, left_out=(), layer="silver", mark="as it is"):
    due = {day(n): mark for n in numbers}
    return PlannedTable(layer, name, tuple(due), to_build=due, left_out=tuple(day(n) for n in left_out))


def ranges(*tables):
    return [
        ((run.start - FIRST).days + 1, (run.end - FIRST).days + 1, [name for _, name in run.keys])
        for run in rows_runs(plan(*tables))
    ]


def plan(*tables):
    return Plan((), tables, ())


def test_no_run_covers_a_date_that_is_left_out_of_one_of_its_tables():
    assert ranges(table("a", [1, 3, 5], left_out=[2])) == [(1, 1, ["a"]), (3, 5, ["a"])]
    assert ranges(table("a", [1, 5], left_out=[2, 3])) == [(1, 1, ["a"]), (5, 5, ["a"])]


def test_another_table_is_built_on_that_date():
    cut = ranges(table("a", [1, 5], left_out=[3]), table("b", [2, 3, 4]))
    assert cut == [(1, 2, ["a", "b"]), (3, 3, ["b"]), (4, 5, ["a", "b"])]


def test_a_date_that_is_left_out_of_a_table_without_work_cuts_nothing():
    assert ranges(table("a", [40], left_out=[3]), table("b", [1, 5])) == [(1, 5, ["b"]), (40, 40, ["a"])]
    assert ranges(table("a", [4, 5], left_out=[2, 7])) == [(4, 5, ["a"])]


def test_a_difference_is_that_of_its_own_dates():
    """Otherwise a change on another date of its table would request a cancelled run again."""
    [alone] = rows_runs(plan(table("a", [1])))
    first, other = rows_runs(plan(table("a", [1, 60])))
    assert first == alone
    assert other.difference != alone.difference
    [changed] = rows_runs(plan(table("a", [1], mark="another file")))
    assert changed.difference != alone.difference


def test_systems_that_have_nothing_to_do_with_each_other_share_a_run_where_that_is_cheaper():
    def runs(systems, numbers, **relationships):
        names = {name: Contract(**CONTRACT | {"table": f"{name}_things"}, **relationships.get(name, {})) for name in systems}
        tables = [one_feed(landing=f"{name}/things", columns=(), contract=names[name], function=take) for name in systems]
        planned = plan(*(table(f"{name}_things", days) for name, days in zip(systems, numbers, strict=True)))
        return [
            ((run.start - FIRST).days + 1, (run.end - FIRST).days + 1, [name for _, name in run.keys])
            for run in rows_runs(planned, Catalog.from_tables(tables))
        ]

    refers = {"relationships": (Relationship("thing_id", "a_things", "thing_id"),)}
    many = list(range(1, 100))
    assert runs("ab", [[1, 9], [2]]) == [(1, 9, ["a_things", "b_things"])]
    assert runs("ab", [[1], many]) == [(1, 1, ["a_things"]), (1, 99, ["b_things"])]
    assert runs("ab", [[1], many], b=refers) == [(1, 99, ["a_things", "b_things"])]
    assert runs("abc", [many, [1], [2]]) == [(1, 99, ["a_things"]), (1, 2, ["b_things", "c_things"])]
    assert runs("abc", [many, [1], many], c=refers) == [(1, 99, ["a_things", "c_things"]), (1, 1, ["b_things"])]
