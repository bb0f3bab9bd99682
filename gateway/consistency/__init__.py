"""Version tokens, what they require of a read, and waiting for it."""
