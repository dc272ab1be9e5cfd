"""Benchmarks of the operator and of its admission policies, on real control planes. `python -m bench --help`."""
