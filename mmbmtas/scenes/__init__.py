"""Synthetic indoor scenes with exact labels of all tasks, in the layouts of the real releases."""

from .dataset import render_image, write_scenes
from .render import Rendering

__all__ = ['Rendering', 'render_image', 'write_scenes']
