"""A result of a quantization with made-up measures."""

from ranking.quantization_result import Quantization


def quantization(**changed):
    """Return an accepted quantization, with other fields changed."""
    fields = {
        "calibration_pairs": 256,
        "matmuls": 42,
        "int8_matmuls": 40,
        "compared_with": "bf16",
        "queries": 76,
        "ndcg_before": 0.8125,
        "ndcg": 0.8130,
        "delta": 0.0005,
        "lower": -0.0012,
        "accepted": True,
        "probe_scores": [0.0] * 5,
    }
    return Quantization(**(fields | changed))
