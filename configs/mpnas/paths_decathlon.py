# Train a network of the paths that the search found, on the Visual Decathlon.
#
#   python tools/train.py configs/mpnas/paths_decathlon.py \
#       --cfg-options architecture=work_dirs/search_decathlon/architecture.json
#
# tools/test.py prints the decathlon score and the accuracy of each domain.
_base_ = [
    '../_base_/models/mobilenet_v3_decathlon.py',
    '../_base_/datasets/decathlon.py',
    '../_base_/schedules/paths.py',
]

architecture = 'configs/architectures/decathlon_paths.json'  # override it with the file of a search
total_batch_size = 320  # over all ranks; 32 of each domain
max_iters = 60000

model = dict(
    type='DomainEncoderDecoder',
    backbone=dict(type='PathNetwork'),
    loss_balancing=dict(type='ABDP', temperature=0.2),
)
