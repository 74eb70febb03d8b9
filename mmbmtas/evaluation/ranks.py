"""How well one order of things foretells another."""

from collections.abc import Sequence

from scipy.stats import spearmanr


def rank_correlation(short: Sequence[float], full: Sequence[float]) -> float | None:
    """Return Spearman's rho; None for fewer than three pairs, or if all of one side are equal."""
    if len(short) < 3 or len({*short}) == 1 or len({*full}) == 1:
        return None
    return float(spearmanr(short, full).statistic)


def describe_correlation(short: Sequence[float], full: Sequence[float]) -> str:
    """Say Spearman's rho with the number of pairs it is of."""
    rho = rank_correlation(short, full)
    text = 'none, for lack of pairs' if rho is None else f'{rho:.2f}'
    few = ' With so few pairs it says little.' if len(short) < 20 else ''
    return f"Spearman's rho {text} (n = {len(short)}).{few}"
