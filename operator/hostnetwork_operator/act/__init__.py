"""DO: carries out effects, one module per target. The only package, with `control`, that changes anything."""
