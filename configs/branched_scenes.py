# Retrain the branched network that the search found, on the synthetic scenes.
#
#   python tools/train.py configs/branched_scenes.py \
#       --cfg-options architecture=work_dirs/search_scenes/architecture.json
#   python tools/test.py configs/branched_scenes.py work_dirs/branched_scenes/iter_600.pth
#
# The narrow network of search_scenes.py, trained at full size.
_base_ = [
    './_base_/models/mobilenet_v2_scenes.py',
    './_base_/datasets/scenes.py',
    './_base_/schedules/scenes.py',
]

architecture = 'configs/architectures/scenes.json'  # override it with the file of a search
pretrained = None
total_batch_size = 8  # over all ranks

model = dict(backbone=dict(type='BranchedNetwork'))
