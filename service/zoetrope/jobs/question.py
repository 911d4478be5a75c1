"""A question after jobs: which ones, from where on, how many; and the SQL that answers it."""

from __future__ import annotations

import msgspec

from ..domain.job import Job, State

NEWEST = 2**62  # above every place in the ledger


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted, newest first; what is left out does not matter."""

    states: tuple[State, ...] = ()
    recipe: str = ""
    text: str = ""  # each of its words has to occur
    limit: int = 50
    before: int = NEWEST  # the smallest place of the page before

    def sql(self) -> tuple[str, list[object]]:
        """Give the statement and its values."""
        states = [str(state) for state in dict.fromkeys(self.states)]
        if looked_for := self.text.casefold().split():
            return self._search(looked_for, states)
        where = "jobs.seq < ?"
        values: list[object] = [self.before]
        if self.recipe:
            where += " AND recipe = ?"
            values.append(self.recipe)
        if not states:
            return _walk(where), [*values, self.limit]
        # One index walk per state, merged: a filter never reads more than the page.
        walks = [f"SELECT * FROM ({_walk(f'{where} AND state = ?')})"] * len(states)  # noqa: S608
        each = [value for state in states for value in (*values, state, self.limit)]
        return f"{' UNION ALL '.join(walks)} ORDER BY seq DESC LIMIT ?", [*each, self.limit]

    def _search(self, looked_for: list[str], states: list[str]) -> tuple[str, list[object]]:
        """Walk through the words alone, and read only the jobs that have them."""
        where = "words.seq < ?" + " AND instr(words.text, ?)" * len(looked_for)
        values: list[object] = [self.before, *looked_for]
        if self.recipe:
            where += " AND recipe = ?"
            values.append(self.recipe)
        if states:
            where += f" AND state IN ({', '.join('?' * len(states))})"
            values += states
        # CROSS keeps the words outside: their table is a fiftieth of the jobs' one.
        tables = "words CROSS JOIN jobs ON jobs.seq = words.seq"
        return _walk(where, tables, "words.seq"), [*values, self.limit]


def _walk(where: str, tables: str = "jobs", seq: str = "jobs.seq") -> str:
    # Made of our own words; what people say is only ever a value.
    return f"SELECT {seq}, jobs.id, body FROM {tables} WHERE {where} ORDER BY {seq} DESC LIMIT ?"  # noqa: S608


def words(job: Job) -> str:
    """Give what a job is found by: its id, names and prompt, without regard to upper and lower case."""
    names = (job.stem, job.folder, *(still.name for still in job.stills), job.ticket.name or "")
    return "\n".join((job.id, *dict.fromkeys(names), job.ticket.prompt or "")).casefold()
