# Train a network of the paths that the search found, on the pocket domains.
#
#   python tools/train.py configs/mpnas/paths_pocket.py \
#       --cfg-options architecture=work_dirs/search_pocket/architecture.json
#   python tools/test.py configs/mpnas/paths_pocket.py work_dirs/paths_pocket/iter_300.pth
#
# Each domain keeps its own running statistics in the nodes that it shares with others.
_base_ = [
    '../_base_/models/mobilenet_v3_pocket.py',
    '../_base_/datasets/pocket.py',
    '../_base_/schedules/paths.py',
]

architecture = 'configs/architectures/pocket_paths.json'  # override it with the file of a search
total_batch_size = 80  # over all ranks; 16 of each domain
max_iters = 300

model = dict(
    type='DomainEncoderDecoder',
    backbone=dict(type='PathNetwork'),
    loss_balancing=dict(type='ABDP', temperature=0.2),
)
train_cfg = dict(val_interval=300)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
