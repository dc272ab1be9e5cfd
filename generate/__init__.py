"""Everything in the repository that is generated: `make generate` writes it, a test of `make check` compares it.

`steps.py` lists the steps in their order. Each step has its inputs on disk and returns the whole text of its files.
"""
