"""The floor of cost: a bare ASGI app that gets one value from the store for each request and answers with its bytes."""
