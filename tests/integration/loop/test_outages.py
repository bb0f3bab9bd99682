"""Any part may start last, hang or be killed: its fields are typed errors meanwhile, it comes back by itself, nothing is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.loop.parts import Loop
from tests.until import until

REGISTER = """mutation($name: String!) {
  registerCustomer(input: {name: $name, segment: "LOOP", nation: "FRANCE"}) {
    __typename ... on RegisterCustomerAccepted { receipt { token } customer { id name version } } } }"""
COUNT = '{ customers(segment: "LOOP") { totalCount } }'


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    with Loop(tmp_path) as found:
        yield found


def code(answer: dict[str, Any]) -> str | None:
    """The first error's code, if there is one."""
    errors = answer.get("errors")
    return errors[0]["extensions"]["code"] if errors else None


def register(loop: Loop, name: str) -> dict[str, Any]:
    """One command's answer; it may wait long, the machine may be slow."""
    return loop.ask(REGISTER, variables={"name": name}, extensions={"consistency": {"maxWaitMs": 2000}})


def is_taken(answer: dict[str, Any]) -> bool:
    """Whether the write was taken."""
    found = (answer.get("data") or {}).get("registerCustomer") or {}
    return found.get("__typename") == "RegisterCustomerAccepted"


def is_accepted(answer: dict[str, Any]) -> bool:
    """Whether the write was taken and then read in the same request."""
    return is_taken(answer) and answer["extensions"]["consistency"]["satisfied"]


def count(loop: Loop) -> int | None:
    """How many customers the graph lists; None while it cannot tell."""
    data = loop.ask(COUNT)["data"]
    return None if data is None else data["customers"]["totalCount"]


def test_the_reader_first_and_its_sources_last(loop: Loop) -> None:
    loop.valkey.kill()
    loop.kafka.kill()
    loop.start("gateway")
    loop.until_answers()
    assert loop.http.get("/readyz").status_code == 503
    assert code(loop.ask('{ customer(id: "c-1") { id } }')) == "READ_MODEL_UNAVAILABLE"
    assert code(register(loop, "too early")) == "SERVICE_UNAVAILABLE"
    loop.start("projector")
    loop.start("shop")
    until(lambda: is_taken(register(loop, "written first")), within_s=20, what="the write services")
    loop.valkey.start()
    until(lambda: loop.http.get("/readyz").status_code == 200, within_s=10, what="the store")
    loop.kafka.start()
    until(lambda: is_accepted(register(loop, "seen")), within_s=20, what="a write that reads itself")
    until(lambda: count(loop) is not None, within_s=20, what="a read model that is built")
    listed = [
        node["name"]
        for node in loop.ask('{ customers(segment: "LOOP", first: 100) { nodes { name } } }')["data"]["customers"][
            "nodes"
        ]
    ]
    assert "written first" in listed, "what was written while the broker was away went out when it came"


def test_parts_that_hang_or_die(loop: Loop) -> None:
    for name in ("shop", "projector", "gateway"):
        loop.start(name)
    loop.until_answers()
    until(lambda: is_accepted(register(loop, "first")), within_s=30, what="the loop")
    until(lambda: count(loop) is not None, within_s=20, what="a read model that is built")
    before = count(loop) or 0

    # the store hangs, then goes on: reads are typed errors, quickly, and then answers
    loop.pause(loop.valkey.pid)
    assert code(loop.ask(COUNT)) == "READ_MODEL_UNAVAILABLE"
    loop.resume(loop.valkey.pid)
    until(lambda: count(loop) == before, within_s=5, what="reads after the store hung")

    # the broker hangs: writes are taken and told unseen, and seen when it goes on
    loop.pause(loop.kafka.pid)
    hidden = loop.ask(REGISTER, variables={"name": "hidden"}, extensions={"consistency": {"maxWaitMs": 100}})
    assert hidden["data"]["registerCustomer"]["customer"] is None
    assert hidden["extensions"]["consistency"]["unmet"][0]["reason"] == "LAG"
    loop.resume(loop.kafka.pid)
    token = hidden["data"]["registerCustomer"]["receipt"]["token"]
    read = {"consistency": {"after": token, "maxWaitMs": 2000}}
    until(
        lambda: loop.ask(COUNT, extensions=read)["extensions"]["consistency"]["satisfied"],
        within_s=15,
        what="the write that was hidden",
    )
    assert count(loop) == before + 1

    # the projector is killed: writes go on, and it catches up when it is back
    loop.kill("projector")
    assert not is_accepted(loop.ask(REGISTER, variables={"name": "while it was dead"}))
    loop.start("projector")
    until(lambda: count(loop) == before + 2, within_s=15, what="the projector")

    # the write services are killed: a typed error, reads go on
    loop.kill("shop")
    assert code(register(loop, "refused")) == "SERVICE_UNAVAILABLE"
    assert count(loop) == before + 2
    loop.start("shop")
    until(lambda: is_accepted(register(loop, "taken")), within_s=20, what="the write services")

    # the gateway is killed: it keeps nothing, another one answers, tokens included
    loop.kill("gateway")
    loop.start("gateway")
    loop.until_answers()
    assert loop.ask(COUNT, extensions=read)["extensions"]["consistency"]["satisfied"]
    assert count(loop) == before + 3
    for part in ("gateway", "projector", "shop"):
        assert "Traceback" not in loop.log(part), loop.log(part)
