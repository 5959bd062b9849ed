"""Records that pass between stages, one class per kind of row."""

from ranking.records.candidate_records import (
    FUSED,
    Candidate,
    CandidateList,
    IncompleteList,
    NamedList,
    PassageSpan,
    PreRankedCandidate,
    PreRankedList,
    QueryCandidates,
)
from ranking.records.click_records import DocumentClicks, QueryClicks
from ranking.records.collection_records import Document, Query, SelectedQuery, SplitName, content
from ranking.records.generated_records import (
    DocumentQueries,
    GeneratedQuery,
    GenerationStatus,
    QueryStyle,
    SourcePassage,
    WrittenQuery,
)
from ranking.records.grade_records import GradeStatus, PairGrade, PairToGrade
from ranking.records.label_records import (
    Answer,
    Label,
    LabelledCandidate,
    ParseStatus,
    Provenance,
    Tier,
    TokenCounts,
    Usage,
)
from ranking.records.rationale_records import Rationale, RationaleList, RationaleStatus
from ranking.records.record import Record, misfit
from ranking.records.rejection import Rejection
from ranking.records.score_records import ScoredList

__all__ = [
    "FUSED",
    "Answer",
    "Candidate",
    "CandidateList",
    "Document",
    "DocumentClicks",
    "DocumentQueries",
    "GeneratedQuery",
    "GenerationStatus",
    "GradeStatus",
    "IncompleteList",
    "Label",
    "LabelledCandidate",
    "NamedList",
    "PairGrade",
    "PairToGrade",
    "ParseStatus",
    "PassageSpan",
    "PreRankedCandidate",
    "PreRankedList",
    "Provenance",
    "Query",
    "QueryCandidates",
    "QueryClicks",
    "QueryStyle",
    "Rationale",
    "RationaleList",
    "RationaleStatus",
    "Record",
    "Rejection",
    "ScoredList",
    "SelectedQuery",
    "SourcePassage",
    "SplitName",
    "Tier",
    "TokenCounts",
    "Usage",
    "WrittenQuery",
    "content",
    "misfit",
]
