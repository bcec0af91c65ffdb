"""The example service: V1 and V2 clients side by side, against the application on a real server."""

from __future__ import annotations

import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import httpx
import pytest
import yaml
from bson import ObjectId
from httpx import ASGITransport, AsyncClient
from pymongo.errors import NetworkTimeout

# Last on the path: the example comes from the checkout, lazymig from wherever it is installed.
sys.path.append(str(Path(__file__).parents[2]))

from examples.customers import load_documents
from examples.service.app import create_app
from examples.service.storage import Customers
from lazymig import Contention, Control, Phase
from lazymig.control import parts_of

DOCUMENTS = load_documents()[:20]
ID = DOCUMENTS[0]["_id"]
SERVICE = Path(__file__).parents[2] / "examples" / "service"
SWEEP = ["lazymig", "sweep", "--app", "examples.service.app:repository"]


class Service:
    """The running application with a client of each version, and its repository to look behind it."""

    def __init__(self, customers: Customers, v1: AsyncClient, v2: AsyncClient, transport: ASGITransport) -> None:
        self.customers, self.v1, self.v2, self.transport = customers, v1, v2, transport

    async def stored(self, id: ObjectId) -> tuple[Any, Any]:
        """The two documents of a customer, as they stand."""
        v1, v2 = self.customers.collections
        return await v1.find_one({"_id": id}), await v2.find_one({"_id": id})


@pytest.fixture(scope="session")
async def application(lazymig_server: Any) -> AsyncIterator[Service]:
    """The service on a database of its own, for all tests: it opens its connections once, as in production."""
    name = f"service_{uuid.uuid4().hex[:12]}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MONGODB_URI", lazymig_server.uri)
        environment.setenv("MONGODB_DATABASE", name)
        async with running() as service:
            yield service
            await service.customers.collections.v1.database.client.drop_database(name)


@pytest.fixture
async def service(application: Service) -> Service:
    """The service with 20 real customers, none of them migrated."""
    v1, v2 = application.customers.collections
    await v2.delete_many({})
    await v1.delete_many({})
    await v1.insert_many(DOCUMENTS)
    return application


@asynccontextmanager
async def running() -> AsyncIterator[Service]:
    app = create_app()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = ASGITransport(app)
        v1, v2 = [
            await stack.enter_async_context(AsyncClient(transport=transport, base_url=f"http://service/{version}"))
            for version in ("v1", "v2")
        ]
        yield Service(app.state.customers, v1, v2, transport)


# Side by side


async def test_one_customer_has_two_shapes(service: Service) -> None:
    """A document that only V1 knows is answered in both shapes, and migrated by the V2 client's read."""
    v1, v2 = (await service.v1.get(f"/customers/{ID}")).json(), (await service.v2.get(f"/customers/{ID}")).json()
    assert (v1["name"], v1["birthdate"]) == ("Elizabeth Ray", "1977-03-02T02:20:31.000Z")
    assert v2["name"] == {"first": "Elizabeth", "last": "Ray", "title": None, "suffix": None}
    assert (v2["born"], v2["address"]["city"], v2["active"]) == ("1977-03-02", "Vasqueztown", True)
    _, stored = await service.stored(ID)
    assert stored["name"]["first"] == "Elizabeth"


async def test_the_v1_client_sees_what_the_v2_client_wrote(service: Service) -> None:
    """A V2 write reaches V1's document at once, and only in the fields that changed."""
    answer = await service.v2.patch(
        f"/customers/{ID}", json={"name": {"first": "Eliza", "last": "Ray", "title": "Dr."}}
    )
    assert answer.status_code == 200
    assert (await service.v1.get(f"/customers/{ID}")).json()["name"] == "Dr. Eliza Ray"
    stored, _ = await service.stored(ID)
    assert {key: value for key, value in stored.items() if not key.startswith("_lazymig")} == {
        **DOCUMENTS[0],
        "name": "Dr. Eliza Ray",
    }


async def test_the_v2_client_sees_what_the_v1_client_wrote(service: Service) -> None:
    """A V1 write reaches V2 at once, and keeps what only V2 knows."""
    await service.v2.patch(f"/customers/{ID}", json={"loyalty_points": 7})
    answer = await service.v1.patch(f"/customers/{ID}", json={"address": "PSC 1, Box 2\nAPO AE 09012"})
    assert answer.status_code == 200
    seen = (await service.v2.get(f"/customers/{ID}")).json()
    assert seen["address"] == {
        "line": "PSC 1, Box 2", "office": "APO", "region": "AE", "zip": "09012", "kind": "military",
    }  # fmt: skip
    assert seen["loyalty_points"] == 7


@pytest.mark.parametrize(("writer", "reader"), [("v1", "v2"), ("v2", "v1")])
async def test_creation_and_deletion_cross_the_versions(service: Service, writer: str, reader: str) -> None:
    """A customer created by one client is there for the other, until that one deletes it for both."""
    ours, theirs = getattr(service, writer), getattr(service, reader)
    fields = (await ours.get(f"/customers/{ID}")).json()
    del fields["id"]
    created = await ours.post("/customers", json=fields)
    assert created.status_code == 201
    path = f"/customers/{created.json()['id']}"
    assert created.headers["location"] == f"/{writer}{path}"
    assert (await theirs.get(path)).json()["email"] == fields["email"]
    assert (await theirs.delete(path)).status_code == 204
    assert [(await client.get(path)).status_code for client in (ours, theirs)] == [404, 404]
    stored, _ = await service.stored(ObjectId(created.json()["id"]))
    assert stored is None


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_pages_meet_every_customer_once(service: Service, version: str) -> None:
    """Following `next` from page to page meets all customers in the order of their ids, and ends."""
    met, parameters = [], {"limit": 8}
    sizes = []
    while True:
        page = (await getattr(service, version).get("/customers", params=parameters)).json()
        met += [customer["id"] for customer in page["customers"]]
        sizes.append(len(page["customers"]))
        if page["next"] is None:
            break
        parameters["after"] = page["next"]
    assert met == sorted(str(document["_id"]) for document in DOCUMENTS)
    assert sizes == [8, 8, 4]


async def test_a_page_that_ends_the_list_names_no_next(service: Service) -> None:
    """Exactly as many customers as asked for leave no empty page behind them."""
    page = (await service.v2.get("/customers", params={"limit": 20})).json()
    assert (len(page["customers"]), page["next"]) == (20, None)


# Errors


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_what_is_not_there_is_404(service: Service, version: str) -> None:
    """Reading, changing and deleting a customer that does not exist answer 404 alike."""
    client, path = getattr(service, version), f"/customers/{ObjectId()}"
    answers = [
        await client.get(path),
        await client.patch(path, json={"email": "a@example.com"}),
        await client.delete(path),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_taken_id_is_409(service: Service, version: str) -> None:
    """Creating a customer under an id that is taken answers 409 and changes nothing."""
    client = getattr(service, version)
    fields = (await client.get(f"/customers/{ID}")).json()
    answer = await client.post("/customers", json={**fields, "email": "other@example.com"})
    assert answer.status_code == 409
    assert (await client.get(f"/customers/{ID}")).json() == fields


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "path", ["/customers/7", "/customers/%7B%22$ne%22:1%7D", "/customers?after=7", "/customers?limit=0"]
)
async def test_a_bad_id_or_limit_is_422(service: Service, version: str, path: str) -> None:
    """An id that is none, and a page of no size, are refused before the database is asked."""
    assert (await getattr(service, version).get(path)).status_code == 422


@pytest.mark.parametrize(
    ("version", "fields", "reason"),
    [
        ("v2", {"loyalty_points": "many"}, "int_parsing @ body.loyalty_points"),
        ("v2", {"active": 5}, "bool_parsing @ body.active"),
        ("v2", {"born": "yesterday"}, "date_from_datetime_parsing @ body.born"),
        ("v2", {"born_at_ms": -1}, "greater_than_equal @ body.born_at_ms"),
        ("v2", {"address": {"kind": "street", "zip": "1"}}, "missing @ body.address.street.street"),
        ("v2", {"address": {"kind": "moon"}}, "union_tag_invalid @ body.address"),
        ("v2", {"id": str(ObjectId())}, "extra_forbidden @ body.id"),
        ("v2", {"color": "red"}, "extra_forbidden @ body.color"),
        ("v1", {"birthdate": "0001-01-01T00:00:00+05:00"}, "value_error @ body.birthdate"),
        ("v1", {"birthdate": "2001-01-01T00:00:00.000001Z"}, "BSON holds whole milliseconds only; round the datetime"),
        ("v1", {"address": "nowhere"}, "address has neither of the known forms"),
        ("v2", {"accounts": [2**70]}, "one version cannot say what the other does"),
    ],
)  # fmt: skip
async def test_bad_fields_are_422(service: Service, version: str, fields: dict[str, Any], reason: str) -> None:
    """A change that this version, or the other one, cannot hold is refused with the reason, and nothing is stored."""
    before, _ = await service.stored(ID)
    answer = await getattr(service, version).patch(f"/customers/{ID}", json=fields)
    assert answer.status_code == 422
    assert reasons(answer)[0].startswith(reason)
    assert "Ray" not in answer.text  # nothing of the rest of the customer
    after, _ = await service.stored(ID)
    assert after == before


def reasons(answer: Any) -> list[str]:
    """Why a request was refused: by kind and place, or in the words of a conversion."""
    found = answer.json()["detail"]
    return [one if isinstance(one, str) else f"{one['type']} @ {'.'.join(map(str, one['loc']))}" for one in found]


async def test_an_incomplete_customer_is_422(service: Service) -> None:
    """A new customer without its fields is refused with all that is missing."""
    answer = await service.v2.post("/customers", json={"username": "new"})
    assert answer.status_code == 422
    assert "missing @ body.name" in reasons(answer)


async def test_what_fastapi_coerces_is_stored_as_declared(service: Service) -> None:
    """A number that a client sent as text is a number before it reaches lazymig, which coerces nothing."""
    await service.v2.patch(f"/customers/{ID}", json={"loyalty_points": "7"})
    _, stored = await service.stored(ID)
    assert stored["loyalty_points"] == 7


async def test_the_models_are_the_schema(service: Service) -> None:
    """The OpenAPI document shows the entities of both versions, ids as text, and nothing that is only stored."""
    schemas = create_app().openapi()["components"]["schemas"]
    assert schemas["CustomerV1"]["properties"]["id"] == {"type": "string", "pattern": "^[0-9a-f]{24}$", "title": "Id"}
    assert {"born", "tiers"} < set(schemas["CustomerV2"]["properties"])
    answer = (await service.v1.get(f"/customers/{ID}")).json()
    assert "key_order" not in {*next(iter(answer["tier_and_details"].values())), *schemas["TierDetails"]["properties"]}


async def test_a_stored_document_of_no_known_form_is_500_without_contents(service: Service) -> None:
    """What a broken V1 document holds is not shown to a V2 client, while a V1 client may still read it."""
    await service.customers.collections.v1.update_one({"_id": ID}, {"$set": {"address": "secret place"}})
    answer = await service.v2.get(f"/customers/{ID}")
    assert answer.status_code == 500
    assert str(ID) in answer.text
    assert "secret" not in answer.text
    assert (await service.v1.get(f"/customers/{ID}")).json()["address"] == "secret place"


async def test_contention_is_503_with_a_time_to_retry(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that lost to others too often asks the client to come back, and says that nothing was written."""

    async def lost(self: Any, id: Any, change: Any) -> Any:
        raise Contention(id, 32)

    monkeypatch.setattr(type(service.customers), "update", lost)
    answer = await service.v2.patch(f"/customers/{ID}", json={"loyalty_points": 7})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "nothing was written" in answer.json()["detail"][0]


async def test_an_unknown_phase_is_503_until_one_is_recorded(
    lazymig_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that follows the recorded phase refuses calls while there is none, writes nothing, and then goes on."""
    name = f"service_{uuid.uuid4().hex[:12]}"
    for variable, value in {"URI": lazymig_server.uri, "DATABASE": name}.items():
        monkeypatch.setenv(f"MONGODB_{variable}", value)
    monkeypatch.setenv("CUSTOMERS_PHASE", "control")
    async with running() as service:
        database = service.customers.collections.v1.database
        await database["customers"].insert_one(DOCUMENTS[0])
        refused = await service.v2.patch(f"/customers/{ID}", json={"loyalty_points": 7})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "nothing was written" in refused.text
        assert await service.stored(ID) == (DOCUMENTS[0], None)
        phases = parts_of(Control(database["lazymig_control"])).phases("customers")
        await phases.begin(Phase.V1_ONLY, by="a test", why="the first phase")
        assert (await service.v2.patch(f"/customers/{ID}", json={"email": "a@example.com"})).status_code == 200
        assert [one["email"] for one in await service.stored(ID) if one] == ["a@example.com"]
        await database.client.drop_database(name)


async def test_a_database_that_is_away_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its database the service starts, and answers 503 within its own time-out."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1")
    monkeypatch.setenv("CUSTOMERS_TIMEOUT_S", "0.2")
    async with running() as service:
        with pytest.raises(NetworkTimeout):
            await service.customers.get(ID)
        answer = await service.v2.get(f"/customers/{ID}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "127.0.0.1" not in answer.text


# The page of the migration


async def test_the_page_shows_the_migration(service: Service) -> None:
    """The mounted page has the numbers of this service, changes nothing, and offers nothing to do."""
    await service.v2.get(f"/customers/{ID}")
    async with AsyncClient(transport=service.transport, base_url="http://service/migration") as client:
        page = await client.get("/", follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/migration/m/customers/")
        assert "/do/" not in page.text
        status = (await client.get("/m/customers/status.json")).json()
        assert (status["phase"], status["v1"], status["moved_by"]["read"]) == ("coexist", 20, 1)
        assert (await client.get("/m/customers/do/pause")).status_code == 404


def test_a_stream_ends_with_the_server(lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under uvicorn the service stops though somebody watches: the stream ends by itself, and nothing is cut off."""
    name = f"service_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("MONGODB_URI", lazymig_server.uri)
    monkeypatch.setenv("MONGODB_DATABASE", name)
    command = [sys.executable, "-m", "uvicorn", "examples.service.app:app", "--port", "0"]
    # Without a time-out for its end: it would wait for a stream that does not end, for ever.
    process = Popen(command, cwd=SERVICE.parents[1], stderr=PIPE, text=True)
    assert process.stderr is not None
    running = next(line for line in process.stderr if "running on" in line)
    url = re.findall(r"http://[\d.:]+", running)[0]
    with httpx.stream("GET", f"{url}/migration/m/customers/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        process.terminate()
        assert any(line.startswith("event: phases") for line in lines)
    assert "ERROR" not in process.communicate(timeout=60)[1]
    assert process.returncode in (0, -signal.SIGTERM)  # uvicorn passes the signal on once it has ended


# Operation


def test_every_schedule_runs_the_same_command() -> None:
    """The cron line, the Kubernetes CronJob and the compose file start one and the same sweep."""
    crontab = (SERVICE / "crontab").read_text().splitlines()[-1]
    cronjob = yaml.safe_load((SERVICE / "cronjob.yaml").read_text())
    compose = yaml.safe_load((SERVICE / "compose.yaml").read_text())
    pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert crontab.split(".venv/bin/")[1].split() == SWEEP
    assert [container["command"] for container in pod["containers"]] == [SWEEP]
    assert compose["services"]["sweep"]["command"] == SWEEP
    assert crontab.startswith(cronjob["spec"]["schedule"])
    assert set(compose["services"]) == {"db", "api", "sweep"}
