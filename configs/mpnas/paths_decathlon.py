# Train a network of paths on the Visual Decathlon, as the search found them.
#
#   python tools/train.py configs/mpnas/paths_decathlon.py \
#       --cfg-options architecture=work_dirs/search_decathlon/architecture.json
#
# The tests print the decathlon score beside the accuracy of each domain.
_base_ = [
    '../_base_/models/mobilenet_v3_decathlon.py',
    '../_base_/datasets/decathlon.py',
    '../_base_/schedules/paths.py',
]

architecture = 'configs/architectures/decathlon_paths.json'  # override it with what a search wrote
total_batch_size = 320  # over all ranks; 32 of each domain
max_iters = 60000

model = dict(
    type='DomainEncoderDecoder',
    backbone=dict(type='PathNetwork'),
    loss_balancing=dict(type='ABDP', temperature=0.2),
)
