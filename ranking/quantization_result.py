"""The record of a student's int8 quantization, and the test on validation queries that accepts or rejects it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

MARGIN = 0.005
"""Maximum loss of nDCG@10 on the validation queries."""

LEVEL = 0.05
"""Significance level of the one-sided lower bound that is compared with the margin."""

MIN_QUERIES = 10
"""Minimum number of validation queries. The bootstrap over fewer is too narrow."""

_RESAMPLES, _SEED = 10_000, 13


class QuantizationError(ValueError):
    """A student cannot be quantized. The text is the reason."""


class Quantization(BaseModel):
    """The result of quantizing a student: a part of the student config.

    Attributes:
        calibration_pairs: Number of validation pairs that the ranges of the activations were measured on.
        matmuls: Number of matrix products with weights.
        int8_matmuls: Number of them that are computed in int8. The others would change the scores too much.
        compared_with: Precision of the scores that int8 was compared with.
        queries: Number of validation queries.
        ndcg_before: nDCG@10 on the validation queries without quantization.
        ndcg: nDCG@10 on the validation queries with int8.
        delta: Mean difference, int8 minus before.
        lower: One-sided 95% lower bootstrap bound of the mean difference, paired by query.
        margin: Maximum loss that is accepted.
        accepted: Whether `lower` is above the negative margin.
        probe_scores: int8 scores of the parity check's probes.
    """

    model_config = ConfigDict(extra="forbid")

    calibration_pairs: int
    matmuls: int
    int8_matmuls: int
    compared_with: str
    queries: int
    ndcg_before: float
    ndcg: float
    delta: float
    lower: float
    margin: float = MARGIN
    accepted: bool
    probe_scores: list[float]

    @property
    def numbers(self) -> str:
        """The measured values, in words."""
        return (
            f"nDCG@10 {self.ndcg:.4f} in int8, {self.ndcg_before:.4f} in {self.compared_with} on {self.queries:,} "
            f"validation queries, lower bound of the difference {self.lower:+.4f}, margin {self.margin:g}"
        )


def judge(
    before: Mapping[str, float], int8: Mapping[str, float], calibration_pairs: int, matmuls: tuple[int, int], name: str
) -> Quantization:
    """Decide whether int8 is not worse than the precision before by more than the margin (non-inferiority).

    The paired bootstrap is that of the promotion decision (`ranking.evaluation.significance.compare`).

    Args:
        before: nDCG@10 without quantization, {query_id: value}.
        int8: nDCG@10 with int8 of the same queries.
        calibration_pairs: Number of pairs that the ranges were measured on.
        matmuls: Number of matrix products with weights, and of those in int8.
        name: Name of the precision without quantization.
    """
    from ranking.evaluation.significance import compare

    comparison = compare(int8, before, _RESAMPLES, _SEED, LEVEL)
    return Quantization(
        calibration_pairs=calibration_pairs,
        matmuls=matmuls[0],
        int8_matmuls=matmuls[1],
        compared_with=name,
        queries=len(before),
        ndcg_before=sum(before.values()) / len(before),
        ndcg=sum(int8.values()) / len(int8),
        delta=comparison.delta,
        lower=comparison.lower,
        accepted=comparison.lower > -MARGIN,
        probe_scores=[],
    )
