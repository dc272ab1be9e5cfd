"""THINK: pure decisions, from values to values, with no I/O and no clock. They return what is to be done as effects."""
