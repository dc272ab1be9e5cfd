"""THINK: pure decisions. Values in, values out; no I/O and no clock. What is to be done comes out as effects."""
