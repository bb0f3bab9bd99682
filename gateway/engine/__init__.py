"""How a query becomes batched reads: the reader, the rows of a request, the plain executor."""
