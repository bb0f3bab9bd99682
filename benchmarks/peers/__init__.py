"""The servers that are compared, a folder each with a `peer.toml`, and the operations that all of them are asked."""
