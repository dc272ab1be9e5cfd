"""DO: carries out effects, one module a target. The only package, with `control`, that changes anything."""
