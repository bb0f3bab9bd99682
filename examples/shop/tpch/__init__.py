"""The shop's real input: the public TPC-H data set, as the history of five services.

The listing is the data flow: `generate` makes CSV files, `rows` reads them, `history` makes facts of them, `write` puts
the facts into the services' databases and outboxes, `shown` waits until the gateway answers with them.
"""
