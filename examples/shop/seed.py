"""A few hundred real commands, sent through the gateway's mutations, so that a fresh shop has something to show.

- What is sent follows from a number alone: the same number gives the same customers, products and orders (their ids
  are the services' own).
- Every command is sent under an idempotency key, so that one whose outcome is unknown can be sent again.
- Commands of one order follow one another; orders are placed side by side, a bounded number at a time.
"""

import asyncio
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import Any, TypeVar

import httpx

CUSTOMERS, PRODUCTS, ORDERS = 25, 25, 45
_SIDE_BY_SIDE = 12
_ANSWER_WITHIN_S = 20.0
_RETRY_AFTER_S = 0.1

_FIRST = ("Ada", "Bela", "Chidi", "Dolores", "Emre", "Fatima", "Grace", "Hugo", "Ines", "Jonas", "Kenji", "Lena")
_LAST = ("Abara", "Brandt", "Castillo", "Demir", "Eriksen", "Fontaine", "Garcia", "Hoffmann", "Ito", "Jansen")
_SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
_NATIONS = ("BRAZIL", "CANADA", "FRANCE", "GERMANY", "INDIA", "JAPAN", "KENYA", "PERU")
_BRANDS = ("Alder", "Birch", "Cedar", "Damson")
_THINGS = {
    "KITCHEN": ("Kettle", "Pan", "Teapot"),
    "GARDEN": ("Spade", "Lantern", "Bench"),
    "OFFICE": ("Lamp", "Stapler"),
}
_CARRIERS = ("AIR", "MAIL", "RAIL", "SHIP", "TRUCK")

_MUTATION = """mutation Seed($input: {input}!) {{ {field}(input: $input) {{
  __typename
  ... on {type}Accepted {{ receipt {{ versions {{ id }} }} }}
  ... on CommandRefused {{ code title detail }}
  ... on OutcomeUnknown {{ reason }}
}} }}"""

T = TypeVar("T")


class SeedError(RuntimeError):
    """A command that had to be accepted was not; the message has the command and the answer."""


@dataclass
class SeedReport:
    """What was sent: accepted commands by name, how long it took, and an order that went all the way."""

    accepted: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    shown_order: str = ""

    def told(self) -> str:
        """One line for a person."""
        kinds = ", ".join(f"{count} {name}" for name, count in self.accepted.items())
        return f"seeded with {self.accepted.total()} commands in {self.took_s:.1f} s: {kinds}"


@dataclass(frozen=True)
class OrderPlan:
    """The life of one order: indexes of customer and products, and what becomes of it."""

    number: int
    customer: int
    lines: tuple[tuple[int, int], ...]
    fate: str  # "placed", "confirmed", "cancelled", "paid", "refunded", "shipped", "completed"
    carriers: tuple[str, ...]


async def seed(client: httpx.AsyncClient, number: int = 1) -> SeedReport:
    """Send the commands. `client` has the gateway's base URL.

    Raises `SeedError` when a command is not accepted within 20 s, `httpx.TransportError` when the gateway is gone.
    """
    started = time.monotonic()
    shop = _Seeding(client, number)
    await shop.play()
    shop.report.took_s = time.monotonic() - started
    return shop.report


def plan_orders(number: int) -> list[OrderPlan]:
    """The orders of seed `number`; the first one is completed."""
    pick = random.Random(number)
    fates = ("placed", "confirmed", "cancelled", "paid", "refunded", "shipped", "completed")
    weights = (10, 8, 10, 12, 10, 20, 30)
    plans = []
    for order in range(ORDERS):
        products = pick.sample(range(PRODUCTS), pick.randint(1, 5))
        lines = tuple((product, pick.randint(1, 9)) for product in products)
        fate = pick.choices(fates, weights)[0] if order else "completed"
        plans.append(OrderPlan(order, pick.randrange(CUSTOMERS), lines, fate, tuple(pick.choices(_CARRIERS, k=2))))
    return plans


async def seed_if_empty(client: httpx.AsyncClient) -> str:
    """Seed a shop that has no product yet; a line that tells what was done."""
    reply = await client.post("/graphql", json={"query": "{ products { totalCount } }"})
    products = ((reply.json().get("data") or {}).get("products") or {}).get("totalCount")
    if products is None:
        raise SeedError(f"the gateway does not tell how many products there are: {reply.text[:500]}")
    if products:
        return f"not seeded: the shop has {products} products already"
    return (await seed(client)).told()


def main(arguments: Sequence[str]) -> int:
    """`python -m examples.shop.seed URL`: seeds the shop behind a gateway, unless there is something in it."""

    async def run() -> str:
        async with httpx.AsyncClient(base_url=arguments[0], timeout=30.0) as client:
            return await seed_if_empty(client)

    if len(arguments) != 1:
        print("usage: python -m examples.shop.seed URL", file=sys.stderr)
        return 2
    try:
        print(asyncio.run(run()))
    except (SeedError, httpx.TransportError) as error:
        print(f"not seeded: {error}", file=sys.stderr)
        return 1
    return 0


class _Seeding:
    """One run of `seed`; owns the ids that the services gave."""

    def __init__(self, client: httpx.AsyncClient, number: int) -> None:
        self._client = client
        self._number = number
        self.report = SeedReport()

    async def play(self) -> None:
        pick = random.Random(self._number)
        customers = [self._customer(index, pick) for index in range(CUSTOMERS)]
        prices = [Decimal(pick.randint(199, 24_999)) / 100 for _ in range(PRODUCTS)]
        products = [self._product(index, price, pick) for index, price in enumerate(prices)]
        ids = await _side_by_side([partial(self._send, *command) for command in customers + products])
        lives = [
            partial(self._life, plan, ids[:CUSTOMERS], ids[CUSTOMERS:], prices) for plan in plan_orders(self._number)
        ]
        orders = await _side_by_side(lives)
        self.report.shown_order = orders[0]

    def _customer(self, index: int, pick: random.Random) -> tuple[str, dict[str, Any]]:
        first, last = pick.choice(_FIRST), pick.choice(_LAST)
        email = f"{first}.{last}.{index}@shop.example".lower() if index % 4 else None
        return "RegisterCustomer", {
            "name": f"{first} {last}",
            "email": email,
            "segment": pick.choice(_SEGMENTS),
            "nation": pick.choice(_NATIONS),
        }

    def _product(self, index: int, price: Decimal, pick: random.Random) -> tuple[str, dict[str, Any]]:
        category = pick.choice(list(_THINGS))
        brand = pick.choice(_BRANDS)
        return "ListProduct", {
            "sku": f"{brand[:2].upper()}-{self._number}-{index:03}",
            "title": f"{brand} {pick.choice(_THINGS[category])} No. {index + 1}",
            "brand": brand,
            "category": category,
            "price": str(price),
        }

    async def _life(self, plan: OrderPlan, customers: list[str], products: list[str], prices: list[Decimal]) -> str:
        lines = [{"product": products[product], "quantity": str(quantity)} for product, quantity in plan.lines]
        order = await self._send("PlaceOrder", {"customer": customers[plan.customer], "lines": lines})
        total = sum((prices[product] * quantity for product, quantity in plan.lines), Decimal())
        amount = str(total.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
        if plan.fate == "cancelled":
            await self._send("CancelOrder", {"order": order, "reason": "changed my mind"})
        elif plan.fate != "placed":
            await self._send("ConfirmOrder", {"order": order})
        if plan.fate in {"paid", "refunded", "shipped", "completed"}:
            payment = await self._send("AuthorizePayment", {"order": order, "amount": amount})
            if plan.fate != "paid":
                await self._send("CapturePayment", {"payment": payment, "amount": amount})
            if plan.fate == "refunded":
                await self._send("RefundPayment", {"payment": payment, "amount": amount})
        if plan.fate in {"shipped", "completed"}:
            await self._ship(plan, order)
        return order

    async def _ship(self, plan: OrderPlan, order: str) -> None:
        numbers = list(range(1, len(plan.lines) + 1))
        parcels = [numbers[:2], numbers[2:]] if len(numbers) > 2 else [numbers]
        for parcel, carrier in zip(parcels, plan.carriers, strict=False):
            created = {"order": order, "lineNumbers": parcel, "carrier": carrier}
            shipment = await self._send("CreateShipment", created)
            await self._send("DispatchShipment", {"shipment": shipment})
            if plan.fate == "completed":
                await self._send("ConfirmDelivery", {"shipment": shipment})

    async def _send(self, command: str, fields: dict[str, Any]) -> str:
        """Send until accepted; the id of what the command changed first.

        A service may not have heard yet of what another one has just accepted (a product, an order): such a refusal
        is asked again under a new key. A command whose outcome is unknown is asked again under the same one.
        """
        deadline = time.monotonic() + _ANSWER_WITHIN_S
        key = uuid.uuid4()
        while True:
            answer = await self._ask(command, {"commandId": str(key), **fields})
            if answer["__typename"] == f"{command}Accepted":
                self.report.accepted[command] += 1
                return str(answer["receipt"]["versions"][0]["id"])
            refused = answer["__typename"] == "CommandRefused"
            may_change = answer["code"].endswith("_UNKNOWN") if refused else "reason" in answer
            if not may_change or time.monotonic() > deadline:
                raise SeedError(f"{command} {fields}: {answer}")
            key = uuid.uuid4() if refused else key
            await asyncio.sleep(_RETRY_AFTER_S)

    async def _ask(self, command: str, fields: dict[str, Any]) -> dict[str, Any]:
        name = command[0].lower() + command[1:]
        query = _MUTATION.format(input=f"{command}Input", field=name, type=command)
        reply = await self._client.post("/graphql", json={"query": query, "variables": {"input": fields}})
        answer = reply.json()
        if not answer.get("data"):
            raise SeedError(f"{command} {fields}: HTTP {reply.status_code} {answer.get('errors', answer)}")
        return dict(answer["data"][name])


async def _side_by_side(work: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    """The results in order, of at most twelve at a time."""
    places = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(item: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with places:
            return await item()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in work]
    return [task.result() for task in tasks]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
