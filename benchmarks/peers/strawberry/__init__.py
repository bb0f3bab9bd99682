"""The graph as Strawberry's documentation builds one: types with resolvers, DataLoaders in the context, redis-py."""
