"""chrF: how much of a translation's characters, in runs of one to six, stands in the right one too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minigrad.errors import received

ORDER, BETA = 6, 2


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """The character n-gram F-score of translations against right ones, from 0 to 100, over all of them together.

        P_n = matches_n / n-grams in hypotheses        R_n = matches_n / n-grams in references
        chrF = 100 (1 + beta^2) P R / (beta^2 P + R)   with P, R the means over n = 1..6, and beta = 2

    An n-gram matches as often as it stands in both texts of a pair; spaces do not count. Recall weighs beta times as
    much as precision. A hypothesis has no n-grams of a length that its reference is too short for, and lengths that
    are nowhere are left out of the means, as sacrebleu does it.
    Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015).

    Raises `ValueError` where there are not as many of the one as of the other, or none.

    >>> chrf(["de man leest"], ["de man leest"]), round(chrf(["de man"], ["de vrouw"]), 2)
    (100.0, 9.63)
    """
    if len(hypotheses) != len(references) or not references:
        raise ValueError(
            "chrf: every hypothesis needs its reference, and there has to be one. "
            + received(hypotheses=len(hypotheses), references=len(references))
        )
    precisions, recalls = [], []
    for n in range(1, ORDER + 1):
        written = right = matches = 0
        for hypothesis, reference in zip(hypotheses, references):
            ours, theirs = _ngrams(hypothesis, n), _ngrams(reference, n)
            written += ours.total() if theirs else 0
            right += theirs.total()
            matches += (ours & theirs).total()
        if written and right:
            precisions.append(matches / written)
            recalls.append(matches / right)
    if not any(precisions):
        return 0.0
    P, R = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 100 * (1 + BETA**2) * P * R / (BETA**2 * P + R)


def _ngrams(text: str, n: int) -> Counter[str]:
    characters = "".join(text.split())
    return Counter(characters[start : start + n] for start in range(len(characters) - n + 1))
