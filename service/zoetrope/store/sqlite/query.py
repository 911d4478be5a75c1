"""The SQL that answers a question after jobs."""

from __future__ import annotations

from ...domain.query import JobQuery


def sql(query: JobQuery) -> tuple[str, list[object]]:
    """Give the statement and its values."""
    states = [str(state) for state in dict.fromkeys(query.states)]
    if looked_for := query.text.casefold().split():
        return _search(query, looked_for, states)
    where = "jobs.seq < ?"
    values: list[object] = [query.before]
    if query.recipe:
        where += " AND recipe = ?"
        values.append(query.recipe)
    if not states:
        return _walk(where), [*values, query.limit]
    # One index walk per state, merged: a filter never reads more than the page.
    walks = [f"SELECT * FROM ({_walk(f'{where} AND state = ?')})"] * len(states)  # noqa: S608
    each = [value for state in states for value in (*values, state, query.limit)]
    return f"{' UNION ALL '.join(walks)} ORDER BY seq DESC LIMIT ?", [*each, query.limit]


def _search(query: JobQuery, looked_for: list[str], states: list[str]) -> tuple[str, list[object]]:
    """Walk through the words alone, and read only the jobs that have them."""
    where = "words.seq < ?" + " AND instr(words.text, ?)" * len(looked_for)
    values: list[object] = [query.before, *looked_for]
    if query.recipe:
        where += " AND recipe = ?"
        values.append(query.recipe)
    if states:
        where += f" AND state IN ({', '.join('?' * len(states))})"
        values += states
    # CROSS keeps the words outside: their table is a fiftieth of the jobs' one.
    tables = "words CROSS JOIN jobs ON jobs.seq = words.seq"
    return _walk(where, tables, "words.seq"), [*values, query.limit]


def _walk(where: str, tables: str = "jobs", seq: str = "jobs.seq") -> str:
    # Made of our own words; what people say is only ever a value.
    return f"SELECT {seq}, jobs.id, body FROM {tables} WHERE {where} ORDER BY {seq} DESC LIMIT ?"  # noqa: S608
