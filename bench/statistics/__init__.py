"""Statistics of benchmarks: arrays in, numbers out, each with a word on when not to use it.

Conventions, the same everywhere: rows are problems (instances, or instances with seeds), columns
are methods; a run that gave nothing is NaN or infinite, and what becomes of it is said by the
caller, never guessed. What is undefined is NaN. docs/methodology.md tells users about them.
"""

from bench.statistics.contests import Contest, win_tie_loss
from bench.statistics.integrals import (
    gap_over_time,
    primal_dual_integral,
    primal_gap_over_time,
    primal_integral,
)
from bench.statistics.means import Mean, shifted_geometric_mean
from bench.statistics.profiles import Profile, performance_profile
from bench.statistics.quantiles import quantile_curves, solved_within
from bench.statistics.ranks import RankTest, average_ranks, rank_test
from bench.statistics.tables import cost_table

__all__ = [
    "Contest",
    "Mean",
    "Profile",
    "RankTest",
    "average_ranks",
    "cost_table",
    "gap_over_time",
    "performance_profile",
    "primal_dual_integral",
    "primal_gap_over_time",
    "primal_integral",
    "quantile_curves",
    "rank_test",
    "shifted_geometric_mean",
    "solved_within",
    "win_tie_loss",
]
