# Ablation of search_pascal.py: no resource loss, only the tasks' losses.
#
#   python tools/train.py configs/ablations/search_pascal_no_resource_loss.py
#
# Without this loss, the paper's tree is about as good and as expensive as single-task networks:
# delta_m is 0.21 %, compared with -1.74 % for its BMTAS-2 (Table 4.3, Fig. 2). Takes as long as
# search_pascal.py.
_base_ = '../search_pascal.py'

model = dict(resource_loss=dict(weight=0))
