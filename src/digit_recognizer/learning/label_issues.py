"""Which labels are probably wrong, judged by networks that never saw them."""

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray


def probable_label_errors(
    labels: NDArray[np.int64], proba: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Rows whose labels confident learning calls wrong, the most suspicious first.

    A row is called wrong if another class's probability reaches the mean that this class has
    on rows which bear it as their label. The order is that of the label's own probability.

    This is a finding to look at, not an input: no score or weight may depend on it, because a
    row's own label went into it.

    Parameters
    ----------
    labels : array, shape [N]
    proba : array, shape [N, 10], each row's from members that never saw it

    Returns
    -------
    array, shape [K], int64: places in `labels`

    References
    ----------
    Northcutt, Jiang, Chuang 2021: Confident learning, J. Artif. Intell. Res. 70:1373, by the
    authors' library.
    """
    found: NDArray[np.int64] = find_label_issues(
        labels,
        proba,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return found
