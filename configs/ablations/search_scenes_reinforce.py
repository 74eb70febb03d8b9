# Ablation of search_scenes.py: the architecture learns from rewards by REINFORCE, as MPNAS's
# policies do, in place of gradients of the losses.
#
#   python tools/train.py configs/ablations/search_scenes_reinforce.py \
#       --cfg-options model.resource_loss.target_madds=80e6
#
# The weights too see one sampled candidate of a layer at a time. Rewards are from 0 to 1, much less
# than losses, so that the weight of the budget is a thousandth.
_base_ = '../search_scenes.py'

train_cfg = dict(type='ReinforceSearchLoop')
model = dict(
    backbone=dict(routing=dict(type='HardRouting')),
    resource_loss=dict(weight=1.0),
)
