"""Format an audit for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ranking.audit.agreement import ShuffleAgreement
from ranking.audit.audit_report import Audit
from ranking.audit.estimates import MeanEstimate, Proportion
from ranking.audit.idleness import MIN_LISTED, Idleness
from ranking.audit.position import PositionBias
from ranking.audit.quality import MEASURE, Quality

_NAME_WIDTH = 14


def format_audit(audit: Audit) -> str:
    """Format an audit as lines that consist of a name and a text, with 95% intervals and without a final newline."""
    lines = []
    last = ""
    for name, text in _lines(audit):
        lines.append(f"{'' if name == last else name:<{_NAME_WIDTH}}{text}")
        last = name
    return "\n".join(lines)


def _lines(audit: Audit) -> Iterator[tuple[str, str]]:
    """Yield a (name, text) pair for each line. Lines with the same name are consecutive."""
    order = "shuffled" if audit.shuffled else "not shuffled"
    yield "answers", f"{_number(audit.answers, 'answer')} to {_number(audit.lists, 'list')}, prompts {order}"
    if not audit.answers:
        return
    yield "parse status", ", ".join(f"{parse_status} {count}" for parse_status, count in audit.parse_statuses.items())
    yield "well-formed", f"{_count_text(audit.well_formed)} answers ({_rate(audit.well_formed)})"
    yield "usable", f"{_count_text(audit.usable)} answers ({_rate(audit.usable)})"
    if audit.listed is not None and audit.shown is not None:
        yield "listed", f"{audit.listed:.1f} of {audit.shown:.1f} documents per answer"
    yield from (("input order", text) for text in _idleness_lines(audit.idleness))
    yield from (("agreement", text) for text in _agreement_lines(audit.agreement))
    yield from (("position", text) for text in _position_lines(audit.position, audit.shuffled))
    yield from (("quality", text) for text in _quality_lines(audit.quality, audit.shuffled))


def _idleness_lines(idleness: Idleness) -> Iterator[str]:
    if idleness.identity_chance is not None and idleness.identity.share is not None:
        rates = f"{_percent(idleness.identity.share)}; chance: {_percent(idleness.identity_chance)}"
        yield f"{_count_text(idleness.identity)} answers equal the input order ({rates})"
    if idleness.chance is None:
        yield f"unknown: no usable answer lists {MIN_LISTED} or more documents"
        return
    conclusion = "the teacher copies the input order" if idleness.does_nothing else "the teacher reorders documents"
    rates = f"{_rate(idleness.in_order)}; chance: {_percent(idleness.chance)}"
    answers = f"{_count_text(idleness.in_order)} usable answers with {MIN_LISTED} or more documents"
    yield f"{answers} keep the input order ({rates}): {conclusion}"


def _agreement_lines(agreement: ShuffleAgreement | None) -> Iterator[str]:
    if agreement is None:
        yield "unknown: no list has answers to two prompt orders"
        return
    if agreement.tau is not None:
        pairs = _number(agreement.pairs, "pair")
        yield f"between prompt orders: Kendall's tau {_mean(agreement.tau)} (chance: 0), {pairs} of answers"
    chance = f"chance: {agreement.overlap_chance:.2f}"
    yield f"between prompt orders: top-10 overlap {_mean(agreement.overlap)} ({chance})"


def _position_lines(position: PositionBias | None, shuffled: bool) -> Iterator[str]:
    if position is None:
        yield "unknown: no usable answers"
        return
    if position.correlation is not None:
        meaning = _meaning(position.correlation, shuffled)
        yield f"correlation of prompt and answer positions {_mean(position.correlation)}: {meaning}"
    if position.first_third is not None and position.last_third is not None:
        ratio = "" if position.ratio is None else f" (ratio {position.ratio:.2f})"
        thirds = (
            f"{_percent(position.first_third)} of the first third, {_percent(position.last_third)} of the last third"
        )
        yield f"documents listed: {thirds}{ratio}"


def _meaning(correlation: MeanEstimate, shuffled: bool) -> str:
    if correlation.interval is None:
        return "needs more than one list"
    if correlation.interval[0] <= 0 <= correlation.interval[1]:
        return "no sign of position bias"
    if not shuffled:
        return "position bias or relevance; shuffle prompts to separate them"
    return f"position bias, documents shown {'early' if correlation.mean > 0 else 'late'} rank higher"


def _quality_lines(quality: Quality | None, shuffled: bool) -> Iterator[str]:
    if quality is None:
        yield "unknown: no human judgements"
        return
    prompt = "shuffled prompt order" if shuffled else "prompt order"
    yield f"{MEASURE} {quality.answer:.3f}, {prompt} {quality.prompt:.3f}, over {_number(quality.lists, 'judged list')}"
    low, high = quality.interval
    yield f"difference {quality.delta:+.3f} ({low:+.3f} to {high:+.3f}), p = {quality.p:.4f}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _count_text(share: Proportion) -> str:
    return f"{share.count} of {share.of}"


def _rate(share: Proportion) -> str:
    """Format a proportion and its interval as percentages."""
    if share.share is None or share.interval is None:
        return "no answers"
    return f"{_percent(share.share)}, {_percent(share.interval[0])} to {_percent(share.interval[1])}"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "below 0.1%"
    return f"{share:.1%}"


def _mean(estimate: MeanEstimate) -> str:
    if estimate.interval is None:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} ({estimate.interval[0]:.2f} to {estimate.interval[1]:.2f})"
