"""The Headrace shop: five small write services, each with its own database, outbox and topic.

`customers.py`, `catalog.py`, `orders.py`, `payments.py` and `shipping.py` hold the business rules, one readable
function per command; `service/` is the kit that they share (HTTP, transactions, outbox, relay, listeners).
Start them with `python -m examples.shop serve`.
"""
