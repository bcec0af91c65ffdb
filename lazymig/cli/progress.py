"""The progress of a long run, on stderr: a live bar on a terminal, a line now and then elsewhere, or JSON lines."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

from attrs import define, field, frozen
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from lazymig.cli.output import plain, talk
from lazymig.loop.clock import SYSTEM_CLOCK, Clock
from lazymig.passes.helm import is_pause
from lazymig.status.json_text import as_json

#: Seconds between two lines where stderr is no terminal.
LINE_EVERY_S = 30.0
#: The remaining time is shown from here on; before, it would be a guess.
_ETA_FROM_SHARE, _ETA_FROM_S = 0.01, 3.0
#: Columns beside the label that are needed to show rate and remaining time; the columns of these two; those of the
#: share. Each with the blanks between.
_ROOM_FOR_TIME, _TIME_WIDTH, _SHARE_WIDTH = 60, 20, 8


@frozen
class Standing:
    """How far a run is: `done` of about `total` documents, of which `before` were done before it began.

    `left` is always shown, `counts` where they are not zero. Each `note` is shown once per run, on its own line.
    """

    done: int
    total: int
    counts: dict[str, int] = field(factory=dict)
    left: dict[str, int] = field(factory=dict)
    note: str = ""
    before: int = 0
    paused: bool = False

    @property
    def share(self) -> float:
        """The part that is done, from 0 to 1, never more, even if the collection grows meanwhile."""
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def details(self) -> list[str]:
        """Whether it is paused, what is left and the counts that are not zero, in words."""
        shown = {**self.left, **{name: count for name, count in self.counts.items() if count}}
        words = [f"{name.replace('_', ' ')} {count:,}" for name, count in shown.items()]
        return ["paused", *words] if self.paused else words

    def pace(self, elapsed_s: float) -> tuple[float, float | None]:
        """Return the documents per second so far, and the seconds that the rest takes at that rate.

        The seconds are None at the beginning, when the first page says little about the rest.
        """
        own = self.done - self.before
        rate = own / elapsed_s
        if own <= 0 or own < _ETA_FROM_SHARE * (self.total - self.before) or elapsed_s < _ETA_FROM_S:
            return rate, None
        return rate, max(self.total - self.done, 0) / rate


def describe_throttle(reason: str) -> str:
    """Return the note for a run that waits or goes slowly for this reason; empty where there is none."""
    return reason if not reason or is_pause(reason) else f"going slowly: {reason}"


class Reporter(Protocol):
    """Shows the progress of a run, as often as is useful. A context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, standing: Standing) -> None:
        """Take note of how far the run is now."""


def reporter(verb: str, *, as_json: bool, line_every_s: float = LINE_EVERY_S, timed: bool = True) -> Reporter:
    """Return what shows progress here: a bar, lines, or JSON; if `timed`, with rate and remaining time."""
    if talk.is_terminal and not as_json:
        return Bar(verb, timed=timed)
    return Lines(verb, line_every_s, timed=timed, in_json=as_json)


class Bar:
    """A live bar with share, rate and remaining time."""

    def __init__(self, verb: str, *, timed: bool) -> None:
        # The label comes first: on a narrow terminal the bar is short, and rate and remaining time are left out.
        # The counts are last, as many as fit on the line.
        room = talk.width - len(verb)
        timed = timed and room > _ROOM_FOR_TIME
        bar = max(4, min(40, room - 70))
        columns: list[ProgressColumn] = [TextColumn(verb, style="bold", markup=False), BarColumn(bar)]
        columns += [TaskProgressColumn(), *([_Rate(), _Remaining()] if timed else [])]
        columns.append(_Counts(room - bar - (_TIME_WIDTH if timed else 0) - _SHARE_WIDTH))
        self._progress = Progress(*columns, console=talk)
        self._task = self._progress.add_task(verb, total=None, details=[])
        self._verb = verb
        self._noted: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, standing: Standing) -> None:
        if standing.note and standing.note not in self._noted:
            self._noted.add(standing.note)
            self._progress.console.print(Text(plain(f"{self._verb}: {standing.note}")))
        if standing.before and not self._progress.tasks[0].completed:
            self._progress.reset(self._task, completed=standing.before)  # not done by this run
        total = max(standing.total, standing.done)
        self._progress.update(self._task, completed=standing.done, total=total, details=standing.details)


class _Counts(ProgressColumn):
    def __init__(self, width: int) -> None:
        super().__init__(Column(no_wrap=True))
        self._width = max(width, 0)

    def render(self, task: Task) -> Text:
        text = f"{int(task.completed):,}/{int(task.total or 0):,}"
        if len(text) > self._width:
            return Text("")
        for index, detail in enumerate(task.fields["details"]):
            longer = f"{text}{', ' if index else '; '}{detail}"
            if len(longer) > self._width:
                break  # whole counts only
            text = longer
        return Text(text)


class _Remaining(TimeRemainingColumn):
    """The remaining time by a moving average, once enough is done to estimate it."""

    def render(self, task: Task) -> Text:
        stable = task.percentage >= _ETA_FROM_SHARE * 100 and (task.elapsed or 0.0) >= _ETA_FROM_S
        return super().render(task) if stable else Text("-:--:--", style="progress.remaining")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "")


@define
class Lines:
    """A line at the start, one every `every_s` seconds and one at the end: share, rate and remaining time."""

    verb: str
    every_s: float
    timed: bool = True
    in_json: bool = False
    clock: Clock = SYSTEM_CLOCK
    _started: float = 0.0
    _shown: float = float("-inf")
    _last: Standing | None = None
    _noted: set[str] = field(factory=set)

    def __enter__(self) -> Self:
        self._started = self.clock.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()

    def update(self, standing: Standing) -> None:
        self._last = standing
        if standing.note and standing.note not in self._noted:
            self._noted.add(standing.note)
            note = {"event": "note", "of": self.verb, "note": standing.note}
            self._write(as_json(note) if self.in_json else f"{self.verb}: {standing.note}")
        if self.clock.monotonic() - self._shown >= self.every_s:
            self._show()

    def _show(self) -> None:
        standing, self._last = self._last, None
        if standing is None:
            return
        self._shown = self.clock.monotonic()
        elapsed_s = max(self._shown - self._started, 1e-3)
        line = self._json if self.in_json else self._text
        self._write(line(standing, elapsed_s))

    def _write(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def _text(self, standing: Standing, elapsed_s: float) -> str:
        text = f"{self.verb}: {standing.done:,} of about {standing.total:,} ({int(standing.share * 100)} %)"
        if self.timed:
            rate, left_s = standing.pace(elapsed_s)
            text += f", {rate:,.0f}/s" + (f", {left_s:,.0f} s left" if left_s else "")
        return text + (f"; {', '.join(standing.details)}" if standing.details else "")

    def _json(self, standing: Standing, elapsed_s: float) -> str:
        facts = {"event": self.verb, "done": standing.done, "total": standing.total, **standing.left, **standing.counts}
        rate, left_s = standing.pace(elapsed_s)
        left = None if left_s is None else round(left_s, 1)
        facts |= {"paused": True} if standing.paused else {}
        return as_json({**facts, "elapsed_s": round(elapsed_s, 3), "per_s": round(rate, 1), "left_s": left})
