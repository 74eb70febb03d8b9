from mmbmtas.evaluation.edges.nms import suppress_non_maxima
from mmbmtas.evaluation.edges.scoring import (
    MAX_DIST,
    THRESHOLDS,
    EdgeProtocol,
    count_matches,
    edge_scores,
    evaluation_truth,
    precision_recall,
    protocol_of,
)

__all__ = [
    'MAX_DIST',
    'THRESHOLDS',
    'EdgeProtocol',
    'count_matches',
    'edge_scores',
    'evaluation_truth',
    'precision_recall',
    'protocol_of',
    'suppress_non_maxima',
]
