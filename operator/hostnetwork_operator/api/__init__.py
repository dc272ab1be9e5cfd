"""WORDS: the types and names that everything else speaks in. Pydantic and the standard library only."""
