"""Worked examples around the gateway; nothing in the product imports them."""
