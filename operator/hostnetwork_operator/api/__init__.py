"""WORDS: the types and names that all other packages use. They need only pydantic, PyYAML and the standard library."""
