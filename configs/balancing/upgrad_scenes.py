# Train the branched network of the synthetic scenes on gradients that oppose no task (UPGrad).
#
#   pip install -r requirements/balancing.txt
#   python tools/train.py configs/balancing/upgrad_scenes.py \
#       --cfg-options architecture=work_dirs/search_scenes/architecture.json
#
# Every step takes one backward pass per task, five here. UPGrad gives a mean of the tasks'
# gradients, not a sum, so this config does not divide learning rates by the number of tasks, as
# branched_scenes.py does. PCGrad gives a sum: for PCGrad, set 'SharedLrOptimWrapperConstructor'
# again.
_base_ = '../branched_scenes.py'

optim_wrapper = dict(
    type='JacobianOptimWrapper',
    aggregator=dict(type='UPGrad'),
    constructor='DefaultOptimWrapperConstructor',
)
