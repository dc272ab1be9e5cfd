"""All generated files of the repository: `make generate` writes them, and a test of `make check` compares them.

`steps.py` lists the steps in order. Each step reads its inputs from disk and returns the complete text of its files.
"""
