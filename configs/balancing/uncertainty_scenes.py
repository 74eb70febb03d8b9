# Train the branched network of the synthetic scenes with uncertainty weighting of its losses.
#
#   python tools/train.py configs/balancing/uncertainty_scenes.py \
#       --cfg-options architecture=work_dirs/search_scenes/architecture.json
#
# Takes as long as branched_scenes.py, from which this config differs in one line. The log has each
# task's weight. DynamicWeightAverage and GradNorm work in the same way, and a search accepts the
# same line:
#
#   python tools/train.py configs/balancing/uncertainty_scenes.py \
#       --cfg-options model.loss_balancing.type=GradNorm
_base_ = '../branched_scenes.py'

model = dict(loss_balancing=dict(type='UncertaintyWeighting'))
