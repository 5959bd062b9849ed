"""An audit in short lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ranking.audit.agreement import ShuffleAgreement
from ranking.audit.audit_report import Audit
from ranking.audit.estimates import MeanEstimate, Proportion
from ranking.audit.idleness import LEAST_LISTED, Idleness
from ranking.audit.position import PositionBias
from ranking.audit.quality import MEASURE, Quality

_NAME_WIDTH = 14


def text_of(audit: Audit) -> str:
    """Tell an audit in lines `name  sentence`, without a final newline. Intervals are of 95%."""
    lines = []
    last = ""
    for name, sentence in _lines(audit):
        lines.append(f"{'' if name == last else name:<{_NAME_WIDTH}}{sentence}")
        last = name
    return "\n".join(lines)


def _lines(audit: Audit) -> Iterator[tuple[str, str]]:
    """Yield (name, sentence)."""
    order = "shuffled" if audit.shuffled else "not shuffled"
    yield "answers", f"{audit.answers} about {_number(audit.lists, 'list')}, prompts {order}"
    if not audit.answers:
        return
    yield "parse status", ", ".join(f"{parse_status} {count}" for parse_status, count in audit.parse_statuses.items())
    yield "well-formed", f"{_counted(audit.well_formed)} answers ({_rate(audit.well_formed)})"
    yield "usable", f"{_counted(audit.usable)} answers ({_rate(audit.usable)})"
    if audit.listed is not None and audit.shown is not None:
        yield "listed", f"{audit.listed:.1f} of {audit.shown:.1f} documents an answer"
    yield from (("do-nothing", sentence) for sentence in _on_idleness(audit.idleness))
    yield from (("agreement", sentence) for sentence in _on_agreement(audit.agreement))
    yield from (("position", sentence) for sentence in _on_position(audit.position, audit.shuffled))
    yield from (("quality", sentence) for sentence in _on_quality(audit.quality, audit.shuffled))


def _on_idleness(idleness: Idleness) -> Iterator[str]:
    if idleness.identity_chance is not None and idleness.identity.share is not None:
        rates = f"{_percent(idleness.identity.share)}; chance: {_percent(idleness.identity_chance)}"
        yield f"the answer is the input order in {_counted(idleness.identity)} answers ({rates})"
    if idleness.chance is None:
        yield f"no usable answer lists {LEAST_LISTED} documents or more, so none can show it"
        return
    parse_status = "the teacher does nothing" if idleness.does_nothing else "the teacher does reorder"
    rates = f"{_rate(idleness.in_order)}; chance: {_percent(idleness.chance)}"
    yield f"{_counted(idleness.in_order)} usable answers of {LEAST_LISTED} documents or more keep the input order ({rates}): {parse_status}"


def _on_agreement(agreement: ShuffleAgreement | None) -> Iterator[str]:
    if agreement is None:
        yield "unknown: no list was asked in two orders"
        return
    if agreement.tau is not None:
        yield f"two orders of one list: Kendall's tau {_mean(agreement.tau)} (chance: 0), {_number(agreement.pairs, 'pair')} of answers"
    yield f"two orders of one list: {_mean(agreement.overlap)} of the top ten is shared (chance: {agreement.overlap_chance:.2f})"


def _on_position(position: PositionBias | None, shuffled: bool) -> Iterator[str]:
    if position is None:
        yield "unknown: no answer is usable"
        return
    if position.correlation is not None:
        yield f"prompt and answer places correlate at {_mean(position.correlation)}: {_meaning(position.correlation, shuffled)}"
    if position.first_third is not None and position.last_third is not None:
        ratio = "" if position.ratio is None else f" (ratio {position.ratio:.2f})"
        thirds = f"{_percent(position.first_third)} of the first third, {_percent(position.last_third)} of the last"
        yield f"listed of the documents shown: {thirds}{ratio}"


def _meaning(correlation: MeanEstimate, shuffled: bool) -> str:
    if correlation.interval is None:
        return "one list is too few to tell"
    if correlation.interval[0] <= 0 <= correlation.interval[1]:
        return "no sign of position bias"
    if not shuffled:
        return "bias or relevance, which only shuffled prompts tell apart"
    return "what is shown early is ranked high" if correlation.mean > 0 else "what is shown late is ranked high"


def _on_quality(quality: Quality | None, shuffled: bool) -> Iterator[str]:
    if quality is None:
        yield "unknown: no judgements"
        return
    prompt = "of the shuffled prompts" if shuffled else "of the prompts' order"
    yield f"{MEASURE} {quality.answer:.3f}, {prompt} {quality.prompt:.3f}, over {_number(quality.lists, 'judged list')}"
    low, high = quality.interval
    yield f"difference {quality.delta:+.3f} ({low:+.3f} to {high:+.3f}), p = {quality.p:.4f}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _counted(share: Proportion) -> str:
    return f"{share.count} of {share.of}"


def _rate(share: Proportion) -> str:
    """Proportion and interval as percentages; of nothing, that."""
    if share.share is None or share.interval is None:
        return "of nothing"
    return f"{_percent(share.share)}, {_percent(share.interval[0])} to {_percent(share.interval[1])}"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "below 0.1%"
    return f"{share:.1%}"


def _mean(estimate: MeanEstimate) -> str:
    if estimate.interval is None:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} ({estimate.interval[0]:.2f} to {estimate.interval[1]:.2f})"
