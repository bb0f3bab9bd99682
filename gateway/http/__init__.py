"""The front door: GraphQL over HTTP, GraphiQL, probes."""
