"""Who decides at which profile each GPU runs, and puts everything back: the helper without its socket."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from ..errors import Reason
from ..settings import GpuSettings
from . import probation
from .book import Mark, Page, boot_id, unclean
from .book_file import BookFile
from .card import Card, Sample
from .faults import GpuError, GpuLost, NotTaken
from .knobs import Knobs
from .probation import Record
from .profile import UNDO, Knob, ProfileError, ProfilePlan, SetterStep, choose, declared, plan
from .records import Records
from .wire import CardState, ProfileState

log = logging.getLogger("zoetrope.gpu")

# Looks in a row that see a clock above its limit, or a setting that went away, before it counts.
PATIENCE = 3


class Stand:
    """How one GPU stands now."""

    def __init__(self, now: float) -> None:
        self.in_force: ProfilePlan | None = None
        self.role = "stock"
        self.since = now
        self.leases: dict[int, str] = {}  # connection → the role that it asked for
        self.problem: Reason | None = None
        self.breaches = 0


class Governor:
    """Applies profiles, one change at a time, and never leaves a GPU between two of them."""

    def __init__(
        self,
        cards: tuple[Card, ...],
        knobs: Knobs,
        settings: GpuSettings,
        file: BookFile,
        *,
        clock: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        self._cards = {card.uuid: card for card in cards}
        self._knobs = knobs
        self._settings = settings
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._file = file
        self._records = Records(file, clock)
        self._stands = {card.uuid: Stand(clock()) for card in cards}

    # The beginning and the end.

    def begin(self) -> None:
        """Put back what an earlier end left tuned, and count it; nothing is applied until it is asked for."""
        if (closed := self._records.closed) is not None:
            log.error("%s", closed, extra=_said("book"))
        if self._file.spoilt:
            # What has to be undone is not known either: everything is.
            for uuid, card in self._cards.items():
                knobs, now = _known_knobs(card), self._clock()
                mark = Mark(profile="", knobs=knobs, boot=self._boot, since=now)
                self._records.change(uuid, mark=mark)
            self._records.save()
        for uuid, mark in unclean(self._records.book).items():
            page = self._records.page(uuid)
            if (record := page.records.get(mark.profile)) is not None:
                log.warning(
                    "%s was left tuned under profile %s", uuid, mark.profile, extra=_said("unclean")
                )
                self._records.remember(uuid, mark.profile, record, probation.Unclean())
            # Counted once: what is left of the mark says only what has to be undone.
            self._records.change(uuid, mark=msgspec.structs.replace(mark, profile=""))
            self._records.save()
            self._undo_mark(uuid, "nobody")

    def end(self, by: str = "shutdown") -> None:
        """Put every GPU back."""
        for uuid, page in self._records.book.cards.items():
            if page.mark is not None:
                self._undo_mark(uuid, by)

    # What may be asked.

    def work(self, uuid: str, lease: int, by: str = "") -> None:
        """Work begins on a card."""
        stand = self._stand(uuid)
        stand.leases[lease] = "working"
        self._follow(uuid, by)

    def rest(self, uuid: str, lease: int, by: str = "") -> None:
        """Whoever holds the lease has nothing for the GPU any more."""
        stand = self._stand(uuid)
        stand.leases[lease] = "idle"
        self._follow(uuid, by)

    def leave(self, lease: int, by: str = "") -> None:
        """A connection is gone, and with it all that it asked for."""
        for uuid, stand in self._stands.items():
            if stand.leases.pop(lease, None) is not None:
                try:
                    self._follow(uuid, by)
                except GpuError as error:
                    log.error("%s", error, extra=_said("gpu-trouble", uuid))  # noqa: TRY400

    def apply(self, uuid: str, name: str | None, by: str = "") -> None:
        """A user wants a profile; whatever disabled it is forgiven, and it begins again."""
        card = self._card(uuid)
        if name is not None and name not in self._settings.profiles:
            raise ProfileError(
                f"There is no profile {name!r} in the settings.",
                f"Profiles: {', '.join(sorted(self._settings.profiles)) or 'none'}.",
            )
        if (closed := self._records.closed) is not None:
            raise GpuError(closed.sentence, closed.next_step, key=closed.key)
        wanted = [name] if name is not None else [n for n in declared(card, self._settings) if n]
        with self._records.written():
            for each in wanted:
                worked_out = plan(card, each, self._settings.profiles[each])
                record = self._records.of(uuid, worked_out)
                self._records.remember(uuid, each, record, probation.Pardon())
            self._records.change(uuid, held=name)
        self._follow(uuid, by)

    def enable(self, by: str = "") -> None:
        """Root lets profiles be used again after the book could not be read."""
        if self._records.closed is None:
            return
        self._records.open()
        log.warning("profiles may be used again, as untried", extra=_said("book", by=by))
        for uuid in self._cards:
            try:
                self._follow(uuid, by)
            except GpuError as error:
                log.error("%s", error, extra=_said("gpu-trouble", uuid))  # noqa: TRY400

    def reset(self, uuid: str, by: str = "") -> None:
        """A user wants a GPU at stock."""
        card = self._card(uuid)
        self._records.change(uuid, held="")
        self._records.save()
        self._stand(uuid).role = "stock"
        # Everything, whoever has set it: this is what someone reaches for when in doubt.
        if (failed := self._release(uuid, by, knobs=_known_knobs(card))) is not None:
            raise failed

    def soaked(self, uuid: str, name: str, seconds: float) -> None:
        """A stage ran well under a profile."""
        self._records.note(uuid, name, probation.Soaked(seconds))

    def trouble(self, uuid: str, name: str, reason: Reason, by: str = "") -> None:
        """Something went wrong under a profile, or under stock if it has no name."""
        card = self._card(uuid)
        if not name:
            for each, record in self._records.page(uuid).records.items():
                self._records.remember(uuid, each, record, probation.TroubleAtStock(reason.key))
            self._records.save()
            return
        self._records.note(uuid, name, probation.Trouble(reason))
        stand = self._stand(uuid)
        if stand.in_force is not None and stand.in_force.profile == name:
            log.error(
                "%s: %s Reset to stock clocks.",
                card.short,
                reason.sentence,
                extra=_said("barred", uuid),
            )
            self._release(uuid, by)

    def fault(self, uuid: str, reason: Reason) -> None:
        """The driver reported a fault, or the GPU is gone."""
        if uuid in self._stands:
            in_force = self._stands[uuid].in_force
            self.trouble(uuid, in_force.profile if in_force else "", reason, "the driver")

    def look(self, uuid: str, reading: Sample) -> None:
        """Compare a GPU with the profile in force; settings can go away when a host wakes up."""
        self._records.save_again()
        stand = self._stand(uuid)
        worked_out = stand.in_force
        if worked_out is None:
            stand.breaches = 0
            if self._records.page(uuid).mark is not None:
                self._undo_mark(uuid, "second attempt")
            return
        gone = [step for step in worked_out.steps if not step.holds(reading)]
        if not gone:
            stand.breaches = 0
            return
        stand.breaches += 1
        if stand.breaches >= PATIENCE:
            what = " and ".join(str(step) for step in gone)
            reason = Reason(
                "gpu-not-held",
                f"The GPU does not stay within the profile ({what}).",
                "Check whether another program sets clocks: nvidia-smi -q -d CLOCK,POWER",
            )
            self.trouble(uuid, worked_out.profile, reason, "check")
            return
        log.warning(
            "%s lost %s; setting it again",
            uuid,
            gone[0],
            extra=_said("gpu-change", uuid, by="check"),
        )
        self._attempt(uuid, worked_out, "check")

    def states(self) -> tuple[CardState, ...]:
        """Say how every GPU stands."""
        return tuple(self._state(card) for card in self._cards.values())

    # How a GPU gets where it should be.

    def _follow(self, uuid: str, by: str) -> None:
        """Bring a GPU to the profile that counts now."""
        card, stand, page = self._card(uuid), self._stand(uuid), self._records.page(uuid)
        roles = set(stand.leases.values())
        role = "working" if "working" in roles else "idle" if roles else "stock"
        working, idle = declared(card, self._settings)
        name = {"working": working, "idle": idle}.get(role, "")
        if (held := self._held(page)) is not None:
            name, role = held, "held" if held else "stock"
        stand.role = role if name else "stock"
        stand.problem = None
        if not name:
            if (failed := self._release(uuid, by)) is not None:
                raise failed
            return
        try:
            worked_out = plan(card, name, self._settings.profiles[name])
            record = self._records.of(uuid, worked_out)
            _check_usable(name, record)
            if stand.in_force == worked_out:
                return
            if (failed := self._release(uuid, by)) is not None:
                raise failed
            self._attempt(uuid, worked_out, by)
            stand.role = role
        except GpuError as error:
            self._release(uuid, by)
            stand.problem, stand.role = error.reason, "stock"
            raise

    def _attempt(self, uuid: str, worked_out: ProfilePlan, by: str) -> None:
        """Take every step of a plan, or end at stock."""
        card, stand = self._card(uuid), self._stand(uuid)
        record = self._records.of(uuid, worked_out)
        mark = Mark(
            profile=worked_out.profile,
            knobs=worked_out.knobs,
            boot=self._boot,
            since=self._clock(),
        )
        # The mark is on the disk before the first knob is turned: whatever happens from here on, the
        # next start knows what to put back.
        with self._records.written():
            self._records.change(uuid, mark=mark)
            self._records.remember(uuid, worked_out.profile, record)
        try:
            for step in worked_out.steps:
                self._take(card, step)
        except GpuError as error:
            log.error(  # noqa: TRY400 - the sentence says it all
                "%s: profile %s failed: %s", card.short, worked_out.profile, error,
                extra=_said("gpu-change", uuid, by=by, to=worked_out.profile, outcome="failed"),
            )  # fmt: skip
            if isinstance(error, NotTaken | GpuLost):
                # A driver that merely rejects has said so, and may say yes after an update of the
                # settings; a GPU that lies or is gone is not asked again.
                self._records.remember(
                    uuid, worked_out.profile, record, probation.Trouble(error.reason)
                )
            stand.in_force = None
            self._undo_mark(uuid, by)
            raise
        stand.in_force = worked_out
        stand.since = self._clock()
        self._records.remember(uuid, worked_out.profile, record, probation.Taken())
        self._records.save()
        log.info(
            "%s: profile %s (%s)", card.short, worked_out.profile,
            ", ".join(str(step) for step in worked_out.steps),
            extra=_said("gpu-change", uuid, by=by, to=worked_out.profile, outcome="in force"),
        )  # fmt: skip

    def _take(self, card: Card, step: SetterStep) -> None:
        match step.knob:
            case "power":
                self._knobs.limit_power(card, step.value)
            case "lock":
                self._knobs.lock_core(card, step.low, step.value)
            case "offset":
                self._knobs.shift_core(card, step.value)

    def _release(
        self, uuid: str, by: str, knobs: tuple[Knob, ...] | None = None
    ) -> GpuError | None:
        """Put a GPU back to stock, if it is not there; gives what hindered it."""
        stand, page = self._stand(uuid), self._records.page(uuid)
        if page.mark is None and knobs is None:
            return None
        if knobs is not None:
            since = self._clock()
            profile = page.mark.profile if page.mark else ""
            mark = Mark(profile=profile, knobs=knobs, boot=self._boot, since=since)
            self._records.change(uuid, mark=mark)
        stand.in_force = None
        stand.since = self._clock()
        return self._undo_mark(uuid, by)

    def _undo_mark(self, uuid: str, by: str) -> GpuError | None:
        """Undo what a mark names; the mark goes when the GPU is back, and stays when it could not be."""
        page = self._records.page(uuid)
        card, mark = self._cards.get(uuid), page.mark
        if mark is None or card is None:
            return None
        failed = self._put_back(card, mark.knobs, by)
        if (record := page.records.get(mark.profile)) is not None:
            if failed is None:
                self._records.remember(uuid, mark.profile, record, probation.Released())
            elif isinstance(failed, GpuLost):
                self._records.remember(uuid, mark.profile, record, probation.Trouble(failed.reason))
        if failed is None:
            self._records.change(uuid, mark=None)
        self._records.save()
        return failed

    def _put_back(self, card: Card, knobs: tuple[Knob, ...], by: str) -> GpuError | None:
        """Turn knobs back, as many as go; gives what hindered one."""
        failed: GpuError | None = None
        for knob in knobs:
            try:
                match knob:
                    case "offset":
                        if card.offset is not None:
                            self._knobs.shift_core(card, 0)
                    case "lock":
                        self._knobs.free_core(card)
                    case "power":
                        if card.power_default is not None:
                            self._knobs.limit_power(card, card.power_default)
            except GpuError as error:
                # What a GPU does not have is as it was made.
                failed = failed if error.reason.key == "gpu-unsupported" else error
        outcome = "failed" if failed else "in force"
        extra = _said("gpu-change", card.uuid, by=by, to="stock", outcome=outcome)
        stand = self._stands.get(card.uuid)
        if failed is not None:
            log.error("%s: cannot reset to stock clocks: %s", card.short, failed, extra=extra)
            if stand is not None:
                stand.problem = failed.reason
            return failed
        log.info("%s: stock", card.short, extra=extra)
        return None

    def _card(self, uuid: str) -> Card:
        if uuid not in self._cards:
            raise GpuError(
                f"This host has no GPU {uuid}.", "List the GPUs: nvidia-smi -L", key="gpu-not-found"
            )  # fmt: skip
        return self._cards[uuid]

    def _stand(self, uuid: str) -> Stand:
        self._card(uuid)
        return self._stands[uuid]

    def _held(self, page: Page) -> str | None:
        """What a user chose, as far as the settings still have it."""
        known = page.held in self._settings.profiles or page.held == ""
        return page.held if known else None

    def _state(self, card: Card) -> CardState:
        stand, page = self._stands[card.uuid], self._records.page(card.uuid)
        working, idle = declared(card, self._settings)
        return CardState(
            uuid=card.uuid,
            name=card.short,
            working=working,
            idle=idle,
            held=self._held(page),
            in_force=stand.in_force.profile if stand.in_force else "",
            role=stand.role if stand.in_force else "stock",
            since=stand.since,
            highest_mhz=stand.in_force.highest if stand.in_force else None,
            problem=stand.problem or self._records.closed or self._records.problem,
            profiles=tuple(
                self._profile_state(card, name)
                for name in self._settings.profiles
                if choose(card, [name], self._settings.profiles)
            ),
        )

    def _profile_state(self, card: Card, name: str) -> ProfileState:
        try:
            worked_out = plan(card, name, self._settings.profiles[name])
        except ProfileError as error:
            return ProfileState(name=name, misfit=error.reason)
        steps = tuple(str(step) for step in worked_out.steps)
        return ProfileState(name=name, steps=steps, record=self._records.of(card.uuid, worked_out))


def _check_usable(name: str, record: Record) -> None:
    why = probation.told(name, record)
    if not record.usable and why is not None:
        raise GpuError(why.sentence, why.next_step, key=why.key)


def _known_knobs(card: Card) -> tuple[Knob, ...]:
    """Name every knob that the GPU has."""
    has: dict[Knob, bool] = {
        "offset": card.offset is not None,
        "lock": True,
        "power": card.power_default is not None,
    }
    return tuple(knob for knob in UNDO if has[knob])


def _said(action: str, card: str = "", **more: str) -> dict[str, str]:
    found = {"action": action, **({"card": card} if card else {})}
    return found | {key: value for key, value in more.items() if value}
