"""How checkpoints leave: `policy` judges which stay, `protection` says what must not be touched,
`order` deletes one, `release` frees what is kept for others, `telling` lets mirrors know, and `run`
does all of it in one run.

Order is the design: catalog row → MLflow → manifest → bytes that nobody refers to. Whoever dies
between two of these has left a whole checkpoint, or what `tracker collect` sweeps.
"""
