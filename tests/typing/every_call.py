"""What mypy and pyright infer for every call: both check this file, strictly, and nobody runs it."""

from collections.abc import AsyncIterator
from typing import Any, assert_type

from attrs import evolve, frozen
from starlette.applications import Starlette
from starlette.requests import Request

from lazymig import (
    LEAVE,
    Control,
    ConversionError,
    Criteria,
    DarkReads,
    Leave,
    MemberRecord,
    Migration,
    Mismatch,
    Moved,
    NotFound,
    NotYet,
    Phase,
    Repository,
    Retirement,
    RetirementReport,
    Rewriter,
    RewriteReport,
    Standing,
    Sweeper,
    Upcasters,
    UpgradeDiffers,
    V1View,
    Verifier,
    VerifyReport,
    upcasters,
    web,
)


@frozen
class BookV1:
    id: str
    title: str


@frozen
class BookV2:
    id: str
    title: str
    pages: int


async def upgrade(v1: BookV1, previous: BookV2 | None) -> BookV2:
    return BookV2(v1.id, v1.title, previous.pages if previous else 0)


def downgrade(v2: BookV2) -> BookV1:
    return BookV1(v2.id, v2.title)


async def longer(book: BookV2) -> BookV2:
    return evolve(book, pages=book.pages + 1)


MIGRATION = Migration(name="books", v1=BookV1, v2=BookV2, upgrade=upgrade, downgrade=downgrade)
assert_type(MIGRATION, Migration[BookV1, BookV2])


LAMBDAS = Migration(
    name="books",
    v1=BookV1,
    v2=BookV2,
    upgrade=lambda v1: BookV2(v1.id, v1.title, 0),
    downgrade=lambda v2, v1: v1 or downgrade(v2),
)
assert_type(LAMBDAS, Migration[BookV1, BookV2])


async def in_place_calls(collection: Any, control: Control, session: Any) -> None:
    async with Repository.in_place(MIGRATION, collection, phase=Phase.COEXIST, write_behind=True) as books:
        assert_type(books, Repository[BookV1, BookV2])
    assert_type(await books.get("1"), BookV2 | None)
    assert_type(await books.get_many(["1"], on_error="return"), dict[str, BookV2 | ConversionError])
    assert_type(await books.update("1", longer), BookV2)
    assert_type([book async for book in books.list()], list[BookV2])
    assert_type(await books.v1.get("1"), BookV1 | None)
    assert_type(books.with_session(session), Repository[BookV1, BookV2])
    assert_type(books.migration, Migration[BookV1, BookV2])
    assert_type(Repository.in_place(LAMBDAS, collection, phase=control), Repository[BookV1, BookV2])


async def v2_calls(v1: Any, v2: Any, session: Any) -> None:
    async with Repository(MIGRATION, v1=v1, v2=v2, phase=Phase.COEXIST, write_behind=True) as books:
        assert_type(books, Repository[BookV1, BookV2])
    assert_type(await books.get("1"), BookV2 | None)
    assert_type(await books.get_many(["1", "2"]), dict[str, BookV2])
    assert_type(await books.get_many(["1"], on_error="return"), dict[str, BookV2 | ConversionError])
    assert_type(await books.exists("1"), bool)
    assert_type(await books.insert(BookV2("1", "x", 1)), BookV2)
    assert_type(await books.update("1", lambda book: evolve(book, title=book.title.upper())), BookV2)
    assert_type(await books.update("1", longer), BookV2)
    assert_type(await books.replace(BookV2("1", "x", 1)), BookV2)
    assert_type(await books.supply("1", BookV2("1", "x", 1)), BookV2)
    await books.delete("1")
    assert_type(books.list(Criteria(v1={}, v2={}), sort=("title", "title"), limit=3, after="1"), AsyncIterator[BookV2])
    assert_type(await books.count(), int)
    assert_type(books.with_session(session), Repository[BookV1, BookV2])
    assert_type(books.migration, Migration[BookV1, BookV2])


async def v1_calls(books: Repository[BookV1, BookV2], session: Any) -> None:
    assert_type(books.v1, V1View[BookV1, BookV2])
    assert_type(await books.v1.get("1"), BookV1 | None)
    assert_type(await books.v1.get_many(["1"]), dict[str, BookV1])
    assert_type(await books.v1.insert(BookV1("1", "x")), BookV1)
    assert_type(await books.v1.update("1", lambda book: evolve(book, title=book.title.upper())), BookV1)
    assert_type(await books.v1.replace(BookV1("1", "x")), BookV1)
    assert_type(books.v1.list(sort="title"), AsyncIterator[BookV1])
    assert_type(await books.v1.count(), int)
    assert_type(books.v1.with_session(session), V1View[BookV1, BookV2])


def leaving(v1: BookV1) -> BookV2 | Leave:
    if not v1.title:
        raise NotYet("no title")
    return LEAVE if v1.title == "test" else BookV2(v1.id, v1.title, 0)


async def leaving_later(v1: BookV1, previous: BookV2 | None) -> BookV2 | Leave:
    return previous or LEAVE


async def some_stay(v1: Any, v2: Any) -> None:
    for function in (leaving, leaving_later):
        books = Migration(name="books", v1=BookV1, v2=BookV2, upgrade=function, downgrade=downgrade)
        assert_type(books, Migration[BookV1, BookV2])
        assert_type(await Repository(books, v1=v1, v2=v2, phase=Phase.COEXIST).get("1"), BookV2 | None)


async def of_a_part(v1: Any, v2: Any) -> None:
    books = Migration(name="books", v1=BookV1, v2=BookV2, upgrade=upgrade, downgrade=downgrade, part=True)
    assert_type(books, Migration[BookV1, BookV2])
    assert_type(NotFound("1", part=True).part, bool)


async def on_the_server(v1: Any, v2: Any) -> None:
    books = Migration(
        name="books",
        v1=BookV1,
        v2=BookV2,
        upgrade=upgrade,
        downgrade=downgrade,
        upgrade_pipeline=[{"$set": {"title": "$name"}}, {"$unset": "name"}],
    )
    assert_type(books, Migration[BookV1, BookV2])
    try:
        report = await Sweeper(Repository(books, v1=v1, v2=v2, phase=Phase.COEXIST)).run()
        assert_type(report.on_server, int)
    except UpgradeDiffers as differs:
        assert_type(differs.reasons, tuple[str, ...])


async def upcasting(v1: Any) -> None:
    chain = upcasters({1: lambda book: {**book, "title": ""}}, newer="pass", persist=True)
    assert_type(chain, Upcasters)
    books = Migration.upcasting("books", BookV1, chain)
    assert_type(books, Migration[BookV1, BookV1])
    repo = Repository(books, v1=v1, phase=Phase.V1_ONLY)
    assert_type(repo, Repository[BookV1, BookV1])
    assert_type(await Rewriter(repo).run(), RewriteReport)
    upcasters({1: "title"})  # type: ignore[arg-type]
    upcasters({1: longer})  # type: ignore[arg-type]


async def mistakes(books: Repository[BookV1, BookV2]) -> None:
    Migration(name="books", v1=BookV1, v2=BookV2, upgrade=downgrade, downgrade=downgrade)  # type: ignore[arg-type]
    await books.insert(BookV1("1", "x"))  # type: ignore[arg-type]
    await books.get(["1"])  # type: ignore[arg-type]
    await books.v1.exists({"$ne": "1"})  # type: ignore[arg-type]
    books.with_session(1)  # type: ignore[arg-type]
    Repository(MIGRATION, v1=1, v2=2, phase=Phase.COEXIST)  # type: ignore[arg-type]
    await books.v1.replace(BookV2("1", "x", 1))  # type: ignore[arg-type]
    await books.update("1", downgrade)  # type: ignore[arg-type]
    await books.v1.update("1", longer)  # type: ignore[arg-type]
    await books.update("1", lambda book: evolve(book, title=book.pags))  # type: ignore[attr-defined]
    await books.count({"title": "x"})  # type: ignore[arg-type]
    Criteria(v1={})  # type: ignore[call-arg]
    Repository(MIGRATION, v1=None, v2=None, phase="coexist")  # type: ignore[arg-type]


async def reported(mismatch: Mismatch) -> None:
    assert_type(mismatch.revision, int | None)


async def dark_reads(collection: Any) -> None:
    hooked = DarkReads(0.5, serve="v1", on_mismatch=reported, in_flight_max=4)
    repo = Repository(MIGRATION, v1=collection, v2=collection, phase=Phase.COEXIST, dark_reads=hooked)
    assert_type(repo.dark_reads, DarkReads | None)
    hooked.share = 1
    assert_type(hooked.consistency, float | None)
    assert_type(hooked.counts, dict[str, int])
    assert_type(hooked.latency["control"].quantile(0.99), float | None)


async def the_end(books: Repository[BookV1, BookV2], collection: Any) -> None:
    finished = Migration.finished("books", v2=BookV2)
    assert_type(finished, Migration[BookV2, BookV2])
    assert_type(await Repository(finished, v2=collection, phase=Phase.V2_ONLY).get("1"), BookV2 | None)
    assert_type(books.migration.reversed("back"), Migration[BookV2, BookV1])
    retirement = Retirement(books, soak_s=60, by="me")
    assert_type(retirement, Retirement[BookV1, BookV2])
    assert_type((await retirement.report()).blocked, bool)
    assert_type((await retirement.watch(max_time_s=1)).changes, dict[str, int])
    assert_type(await retirement.drop(confirm="books"), RetirementReport)
    assert_type((await retirement.reduce()).tombstones, int)


async def verification(books: Repository[BookV1, BookV2]) -> None:
    verifier = Verifier(books, invariants={"titles": lambda v1, v2: v1.title == v2.title}, where={"title": "x"})
    assert_type(verifier, Verifier[BookV1, BookV2])
    assert_type(await verifier.run(), VerifyReport)
    assert_type((await verifier.run(sample=100)).mismatches, tuple[Mismatch, ...])
    async for report in verifier.run_continuously():
        assert_type(report, VerifyReport)


async def fleets(v1: Any, v2: Any, collection: Any) -> None:
    control = Control(collection)
    async with Repository(MIGRATION, v1=v1, v2=v2, phase=control) as books:
        assert_type(books, Repository[BookV1, BookV2])
        assert_type(books.phase, Phase)
    standing = await control.standing("books")
    assert_type(standing, Standing | None)
    if standing is not None:
        assert_type(standing.phase, Phase)
        assert_type(standing.last, Moved)
    assert_type(await control.members("books"), list[MemberRecord])


def may_act(request: Request, action: str) -> str | None:
    return request.headers.get("x-forwarded-user") if action != "drop" else None


async def may_act_later(request: Request, action: str) -> str | None:
    return may_act(request, action)


def nobody(action: str) -> None: ...


def pages(books: Repository[BookV1, BookV2], control: Control) -> None:
    assert_type(web.app(control, authorize=may_act), Starlette)
    assert_type(web.app(lambda: control, authorize=may_act_later), Starlette)
    assert_type(web.app([books], refresh_s=5), Starlette)
    web.app(control, authorize=nobody)  # type: ignore[arg-type]
