# Ablation of search_pascal.py: no resource loss, only the tasks' own.
#
#   python tools/train.py configs/ablations/search_pascal_no_resource_loss.py
#
# The paper's tree without the loss scores and costs about as much as single-task networks:
# delta_m 0.21 % where its BMTAS-2 has -1.74 % (Table 4.3, Fig. 2).
# Takes as long as search_pascal.py.
_base_ = '../search_pascal.py'

model = dict(resource_loss=dict(weight=0))
