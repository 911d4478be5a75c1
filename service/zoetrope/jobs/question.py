"""A question after jobs: which ones, from where on, how many; and the SQL that answers it."""

from __future__ import annotations

import msgspec

from .job import Job, State

NEWEST = 2**62  # above every place in the ledger

# Words of one job, for searching: apart from the jobs themselves, whose bodies are fifty times as long.
_FOUND = "EXISTS (SELECT 1 FROM words WHERE words.seq = jobs.seq AND instr(words.text, ?))"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted, newest first; what is left out does not matter."""

    states: tuple[State, ...] = ()
    recipe: str = ""
    text: str = ""  # each of its words has to occur
    limit: int = 50
    before: int = NEWEST  # the smallest place of the page before

    def sql(self) -> tuple[str, list[object]]:
        """Give the statement and its values."""
        said: list[tuple[str, object]] = [("seq < ?", self.before)]
        if self.recipe:
            said.append(("recipe = ?", self.recipe))
        said += [(_FOUND, word) for word in self.text.casefold().split()]
        # One index walk per state, merged: a filter never reads more than the page.
        walks = [[("state = ?", str(state)), *said] for state in dict.fromkeys(self.states)]
        one = "SELECT seq, body FROM jobs WHERE {} ORDER BY seq DESC LIMIT ?"
        parts = [one.format(" AND ".join(text for text, _ in walk)) for walk in walks or [said]]
        values: list[object] = []
        for walk in walks or [said]:
            values += [*(value for _, value in walk), self.limit]
        if len(parts) == 1:
            return parts[0], values
        union = " UNION ALL ".join(f"SELECT * FROM ({part})" for part in parts)  # noqa: S608 - ours
        return f"{union} ORDER BY seq DESC LIMIT ?", [*values, self.limit]


def words(job: Job) -> str:
    """Give what a job is found by: its id, names and prompt, without regard to upper and lower case."""
    names = (job.stem, job.folder, *(still.name for still in job.stills), job.ticket.name or "")
    return "\n".join((job.id, *dict.fromkeys(names), job.ticket.prompt or "")).casefold()
