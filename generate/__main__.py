"""`python -m generate` writes every generated file and prints the files that changed."""

from generate import steps

for path in steps.write():
    print(path.relative_to(steps.ROOT))
