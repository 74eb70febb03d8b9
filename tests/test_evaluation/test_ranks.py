"""Rank correlation, with the number of its pairs."""

from mmbmtas.evaluation.ranks import describe_correlation, rank_correlation


def test_rank_correlation():
    assert rank_correlation([1, 2, 3], [10, 20, 30]) == 1
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_the_number_of_pairs_is_told():
    assert describe_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == (
        "Spearman's rho 0.80 (n = 4). With so few pairs it says little."
    )
    assert describe_correlation(range(30), range(30)) == "Spearman's rho 1.00 (n = 30)."
    assert describe_correlation([1], [1]).startswith(
        "Spearman's rho none, for lack of pairs (n = 1)"
    )
