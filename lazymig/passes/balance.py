"""How much a pass may have in flight, so that live reads do not wait for it.

A pass asks the server for next to nothing now and then, and notes how long the answer took: while statements of its own
are on the way, and while none are. Its share of what it was allowed grows slowly while the two agree, and falls fast
where its own statements make reads slower than the bound. What others do slows both kinds of reads, so it does not
stop the pass.

Near the share at which reads were too slow the last time, growth is much slower, so that the bound is seldom passed.
Beyond that share everything has changed, and growth is fast again. The share never reaches zero: every pass ends.
"""

from __future__ import annotations

from collections import deque
from math import inf

from attrs import frozen

#: The share of a pass that has measured nothing yet.
_FIRST = 0.25
#: The factors by which the share grows: before reads were ever too slow, well below the share at which they were, and
#: near it; and the factor by which it falls.
_UNHINDERED, _BELOW, _NEAR, _FALL = 1.5, 1.25, 1.03, 0.5
#: What is near, as a part of the share at which reads were too slow.
_NEAR_FROM = 0.8
#: Reads beside own statements that make one decision, and how many slow ones of them lower the share at once. One slow
#: read may be chance. Where fewer reads are measured, because little is in flight, the decision comes after a time.
_DECISION, _SLOW, _DECISION_S = 10, 3, 2.0
#: After a fall nothing is measured for so long: what was begun before it is still in flight.
_SETTLING_S = 0.3
#: Reads without own statements: how many are kept, how many are needed, and when a new one is due.
_KEPT, _NEEDED, _QUIET_EVERY_S = 30, 5, 5.0
#: The part of them that is not slower than the reference. The reference rises by this factor at most with each, so that
#: a pass steps back at first where others begin to load the server, and where its own load lingers.
_PART, _RISE = 0.9, 1.02
#: Nobody notices fewer seconds than this.
_NOTICED_S = 0.001
#: Documents per batch down to which several batches are kept in flight.
_WORTH_SEVERAL = 250
#: Documents on the way beside others who read the same collections. The server works for a millisecond on so many,
#: so the reads that come meanwhile wait no longer.
_IN_STEPS = 25
#: The part of its time that a pass works at most beside others: most of their reads meet none of its statements then.
_DUTY_BESIDE = 1 / 3
#: Where nobody reads them, slow reads count as chance unless there were others within so many seconds.
_CHANCE_S = 5.0
#: The least part of its time that a pass works.
_DUTY_MIN = 0.1


@frozen
class Room:
    """What a pass may have in flight."""

    #: Batches at a time.
    concurrency: int
    #: Documents per batch.
    batch: int
    #: The part of its time in which it works; it rests in the other.
    duty: float


class Balance:
    """Decides the share of its limits that a pass may use. It only counts: its caller measures."""

    def __init__(self, bound: float) -> None:
        #: How many times as long reads may take.
        self._bound = bound
        #: The part that the pass may use of the documents in flight that its limits allow, above 0, at most 1.
        self.share = _FIRST
        #: The share at which reads were too slow the last time, and how much slower they were; none yet.
        self._ceiling = inf
        self.slowdown = 0.0
        self._quiet: deque[float] = deque(maxlen=_KEPT)
        self._quiet_at_s = -inf
        self._reference = inf
        self._settled_at_s = self._fell_at_s = -inf
        #: Whether others read the same collections; None where that is unknown.
        self.company: bool | None = None
        #: The most that the share may be.
        self._most = 1.0
        self._begin_decision(inf)

    def _begin_decision(self, now_s: float) -> None:
        self._began_s, self._seen = now_s, 0
        self._slow: list[float] = []

    @property
    def hindered(self) -> bool:
        """Whether the share is low because reads were too slow, and not because the pass has just begun."""
        return self._ceiling < inf and self.share < 1

    def note_company(self, present: bool | None) -> None:
        """Note whether others read the same collections.

        A pass that has them to itself has no reason to use less than its limits allow.
        """
        if self.company is present:
            return
        self.company, self._ceiling, self.slowdown, self._most = present, inf, 0.0, 1.0
        if present is False:
            self.share = 1.0

    def needs_quiet(self, now_s: float) -> bool:
        """Whether a read must be measured while none of the pass's statements are on the way."""
        return len(self._quiet) < _NEEDED or now_s - self._quiet_at_s > _QUIET_EVERY_S

    def note_quiet(self, took_s: float, now_s: float) -> None:
        """Note a read that none of the pass's statements were beside."""
        self._quiet.append(took_s)
        self._quiet_at_s = now_s
        if len(self._quiet) >= _NEEDED:
            self._began_s = min(self._began_s, now_s)
            usual = sorted(self._quiet)[int(len(self._quiet) * _PART) - 1]
            self._reference = min(usual, self._reference * _RISE)
        if not self._slow and now_s - self._began_s > _DECISION_S:
            self._grow(now_s)

    def note_busy(self, took_s: float, now_s: float) -> None:
        """Note a read beside statements of the pass."""
        if now_s < self._settled_at_s or self._reference == inf:
            return
        self._seen += 1
        if took_s > self._reference * self._bound and took_s > self._reference + _NOTICED_S:
            self._slow.append(took_s / self._reference)
            if len(self._slow) >= _SLOW:
                self._fall(now_s)
                return
        if self._seen >= _DECISION:
            self._grow(now_s)

    def _grow(self, now_s: float) -> None:
        factor = _UNHINDERED if self._ceiling == inf else _BELOW
        aim = self.share * factor
        if self.share < self._ceiling < aim / _NEAR_FROM:
            # Up to what is near at once, and from there in small steps.
            aim = max(self._ceiling * _NEAR_FROM, self.share * _NEAR)
        self.share = min(aim, self._most)
        if self.share > self._ceiling:
            self._ceiling, self.slowdown = inf, 0.0
        self._begin_decision(now_s)

    def _fall(self, now_s: float) -> None:
        chance = self.company is False and now_s - self._fell_at_s > _CHANCE_S
        if not chance:
            self._ceiling, self.slowdown = self.share, sorted(self._slow)[len(self._slow) // 2]
        # Where nobody reads the same collections, at most the clients of others on this server suffer.
        self.share = max(self.share * _FALL, _FIRST) if self.company is False else self.share * _FALL
        self._fell_at_s = now_s
        self._settled_at_s = now_s + _SETTLING_S
        self._begin_decision(now_s)

    def room(self, concurrency: int, batch: int, least: int) -> Room:
        """Return what may be in flight, of so many batches of so many documents; no batch is made smaller than `least`.

        First batches become smaller, then fewer, then smaller again. At last the pass rests between them. Beside others
        it goes in small steps with rests from the start, and `least` does not bound those.
        """
        self._most = 1.0
        if self.company:
            least = min(least, _IN_STEPS)
            self._most = min(1.0, least / (concurrency * batch))
            self.share = min(self.share, self._most)
        self.share = max(self.share, _DUTY_MIN * least / (concurrency * batch))
        documents = self.share * concurrency * batch
        fewer = max(1, min(concurrency, int(documents / min(_WORTH_SEVERAL, batch))))
        duty = min(1.0, documents / least) if self.hindered else 1.0
        if self.company:
            duty = max(duty * _DUTY_BESIDE, _DUTY_MIN)
        return Room(fewer, max(least, min(batch, int(documents / fewer))), duty)
