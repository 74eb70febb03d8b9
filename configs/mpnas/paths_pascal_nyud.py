# Train a network of paths on two dense data sets, PASCAL-Context and NYUD-v2.
#
#   python tools/train.py configs/mpnas/paths_pascal_nyud.py \
#       --cfg-options architecture=work_dirs/search_pascal_nyud/architecture.json
#
# Each image runs on its data set's path, and through that data set's decoders alone.
_base_ = [
    '../_base_/models/mobilenet_v3_dense.py',
    '../_base_/datasets/pascal_nyud.py',
    '../_base_/schedules/paths.py',
]

architecture = 'configs/architectures/pascal_nyud_paths.json'  # override it with a search's
total_batch_size = 16  # over all ranks; 8 of each domain
max_iters = 40000

model = dict(
    type='DomainEncoderDecoder',
    backbone=dict(
        type='PathNetwork',
        domains=dict(
            pascal=['semseg', 'human_parts', 'saliency'], nyud=['depth', 'normals', 'edge']
        ),
    ),
)
train_cfg = dict(val_interval=5000)
