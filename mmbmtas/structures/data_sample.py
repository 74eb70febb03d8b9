"""The data element that carries every task's label and prediction of one image."""

from mmseg.structures import SegDataSample


class MultiTaskDataSample(SegDataSample):
    """Labels and predictions of one image, one field per task.

    The label of task ``t`` is ``gt_t``, its prediction ``pred_t``, both
    :class:`mmengine.structures.PixelData` whose ``data`` is ``(channels, height, width)``:

    ============  ==========================================  =====================================
    task          ``gt_`` (training size, or original size    ``pred_`` (the labels' original size)
                  in evaluation)
    ============  ==========================================  =====================================
    semseg        int64 ``(1, H, W)``, 255 ignored             int64 ``(1, H, W)`` class
    human_parts   int64 ``(1, H, W)``, 255 ignored             int64 ``(1, H, W)`` part
    saliency      int64 ``(1, H, W)`` 0, 1, 255 ignored        float32 ``(1, H, W)`` probability
    edge          int64 ``(1, H, W)`` 0, 1, 255 ignored        float32 ``(1, H, W)`` probability
    normals       float32 ``(3, H, W)``, zero ignored          float32 ``(3, H, W)`` unit vectors
    depth         float32 ``(1, H, W)`` metres, 0 ignored      float32 ``(1, H, W)`` metres
    ============  ==========================================  =====================================

    Tasks of kind ``label`` have one class of the whole image, as
    :class:`mmengine.structures.LabelData`: ``gt_`` with ``label``, int64 ``(1,)``; ``pred_`` with
    ``label`` and ``score``, the probabilities ``(K,)``. An image of one of several domains has its
    ``domain`` in the metainfo.

    A task without a label in this image has no ``gt_`` field. As a subclass of mmseg's sample it
    also passes through mmseg's heads and metrics, which read ``gt_sem_seg``.
    """
