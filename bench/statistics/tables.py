"""From attempts to the matrices that statistics are computed of."""

import pandas as pd


def cost_table(attempts: pd.DataFrame, column: str, *, method: str = "label") -> pd.DataFrame:
    """Return one row for each instance, one column for each method; NaN where nothing was found.

    A randomised method has several runs on an instance: their median counts, and a run without a
    placement makes it NaN only when all are.

    Parameters
    ----------
    attempts
        Attempts with ``checksum``, ``status``, the column of the method's name, and the column that
        is asked for.
    column
        Which number: ``seconds``, ``saving_ms``.
    method
        Column that names the method.

    Raises
    ------
    KeyError
        When a column is missing.

    When not to use it
    ------------------
    To judge how much a randomised method varies: the median hides it.
    """
    solved = attempts["status"].isin(["optimal", "feasible"])
    values = attempts.assign(value=attempts[column].where(solved))
    return values.pivot_table(
        index="checksum", columns=method, values="value", aggfunc="median", dropna=False, sort=True
    )
