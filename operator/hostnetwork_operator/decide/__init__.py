"""THINK: pure decisions. A decision gets values and returns values, with no I/O and no clock. What the operator is to
do is returned as effects.
"""
