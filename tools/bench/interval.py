# SPDX-License-Identifier: GPL-2.0
"""How sure a figure is that was measured in rounds."""
import math
import statistics


def median_interval(values):
    """Median, and an interval that holds the true one with 95 % (order statistics)."""
    values = sorted(values)
    n = len(values)
    tail, below = 0.0, 0
    while below < (n - 1) // 2 and tail + math.comb(n, below) / 2 ** n <= 0.025:
        tail += math.comb(n, below) / 2 ** n
        below += 1
    low = max(below - 1, 0)
    return statistics.median(values), values[low], values[n - 1 - low]
