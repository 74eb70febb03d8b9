"""Comparisons whose command lines are stand-ins: they write what the tools would, at once."""

import textwrap

import pytest

from mmbmtas.comparison import configs, harness, outcome
from mmbmtas.comparison.harness import Harness
from mmbmtas.comparison.spec import read_comparison
from mmbmtas.cost import ModuleCost
from mmbmtas.launch.jobs import Resources
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.structures import BranchedArchitecture

SPEC = """
search = 'configs/search_scenes.py'
branched = 'configs/branched_scenes.py'
data_root = ROOT
seeds = [0]
models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared'),
    searched=dict(kind='searched'),
    vanilla=dict(kind='vanilla'),
    permutations=dict(kind='permutations', number=2),
)
"""

# Scores depend on the tree and the seed alone.
TOOLS = {
    'train.py': """
        import json, pathlib, shutil, sys
        words = sys.argv[1:]
        if any('broken=True' == word for word in words):
            sys.exit('error: told to break')
        folder = pathlib.Path(words[words.index('--work-dir') + 1])
        if 'search' in words[0]:
            shutil.copy({searched!r}, folder / 'architecture.json')
        (folder / 'iter_1.pth').write_text(json.dumps(words))
        (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
        """,
    'test.py': """
        import json, pathlib, sys
        words = sys.argv[1:]
        trained = json.loads(pathlib.Path(words[1]).read_text())
        seed = int(next(w for w in trained if w.startswith('randomness.seed=')).split('=')[1])
        tree = next(w for w in words if w.startswith('architecture=')).split('=')[1]
        tasks = json.loads(pathlib.Path(tree).read_text())['tasks']
        keys = {{
            'semseg': 'semseg/mIoU', 'human_parts': 'human_parts/mIoU',
            'saliency': 'saliency/maxIoU', 'normals': 'normals/mean', 'edge': 'edge/pixel_AP',
        }}
        base = 50.0 if len(tasks) == 1 else 55.0 + seed
        results = {{keys[task]: base for task in tasks}}
        pathlib.Path(words[words.index('--out') + 1]).write_text(json.dumps(results))
        """,
    'grouping/uniform.py': """
        import pathlib, shutil, sys
        words = sys.argv[1:]
        kind = words[words.index('--task') + 1] if '--task' in words else 'shared'
        shutil.copy(pathlib.Path({trees!r}) / (kind + '.json'), words[words.index('-o') + 1])
        """,
    'grouping/vanilla.py': """
        import shutil, sys
        words = sys.argv[1:]
        shutil.copy(words[words.index('--reference') + 1], words[words.index('-o') + 1])
        """,
    'grouping/transfer.py': """
        import shutil, sys
        words = sys.argv[1:]
        shutil.copy(words[1], words[words.index('-o') + 1])
        """,
    'grouping/permute.py': """
        import pathlib, shutil, sys
        words = sys.argv[1:]
        out = pathlib.Path(words[words.index('-o') + 1])
        for number in range(int(words[words.index('--number') + 1])):
            shutil.copy(words[0], out.with_name(f'tree_{{number + 1}}.json'))
        """,
    'analysis_tools/benchmark_networks.py': """
        import json, pathlib, sys
        networks = json.loads(pathlib.Path(sys.argv[1]).read_text())
        found = {{name: 10.0 * len(listed) for name, listed in networks.items()}}
        content = {{'place': 'here', 'shape': [1, 1], 'milliseconds': found}}
        pathlib.Path(sys.argv[3]).write_text(json.dumps(content))
        """,
}


class Silent:
    """Counts the steps that begin."""

    def __init__(self):
        self.begun = []

    def update(self, scheduler):
        pass

    def changed(self, scheduler, step):
        if scheduler.states[step.name].value == 'running':
            self.begun.append(step.name)


@pytest.fixture
def tools(tmp_path, pytestconfig, monkeypatch):
    """A folder of stand-ins for the command lines; the working directory is the repository."""
    monkeypatch.chdir(pytestconfig.rootpath)
    searched = str(pytestconfig.rootpath / 'configs' / 'architectures' / 'scenes.json')
    tree = BranchedArchitecture.load(searched)
    trees = tmp_path / 'uniform'
    shared = BranchedArchitecture.shared(tree.tasks, tree.encoder, tree.num_layers)
    shared.save(trees / 'shared.json')
    for task in tree.tasks:
        shared.for_tasks([task]).save(trees / f'{task}.json')
    for name, code in TOOLS.items():
        path = tmp_path / 'tools' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code.format(searched=searched, trees=str(trees))))
    return tmp_path / 'tools'


@pytest.fixture(scope='module')
def config(pytestconfig):
    """The config of the branched networks, with its costs."""
    return read_tree_config(str(pytestconfig.rootpath / 'configs' / 'branched_scenes.py'))


@pytest.fixture(scope='module')
def _configs():
    return {}


@pytest.fixture(autouse=True)
def _read_once(monkeypatch, _configs):
    """Read each config once for all tests of a module."""

    def read(path, options=None):
        key = f'{path} {options}'
        if key not in _configs:
            _configs[key] = read_tree_config(path, options)
        return _configs[key]

    monkeypatch.setattr(configs, 'read_tree_config', read)


@pytest.fixture
def quick(monkeypatch, config):
    """Check no configs and build no networks, which takes most of the time."""
    monkeypatch.setattr(harness, 'check_configs', lambda comparison: config)
    monkeypatch.setattr(outcome, 'network_cost', lambda *network: ModuleCost(1, 2, 3))


@pytest.fixture
def spec():
    """Text of a small comparison."""
    return SPEC


@pytest.fixture
def compare(tools, tmp_path):
    """Carry a comparison out, as ``tools/compare.py`` does up to the report."""

    def run(text=SPEC, rerun=False, train=True, latency=False, **overrides):
        path = tmp_path / 'spec.py'
        path.write_text(text.replace('ROOT', repr(str(tmp_path))))
        comparison = read_comparison(str(path), overrides)
        compared = Harness(comparison, tmp_path / 'out', tmp_path / 'work', tools)
        compared.lock()
        compared.check_settings(rerun)
        silent = Silent()
        if train:
            compared.train(Resources(jobs=4), silent)
        if latency:
            assert compared.measure_latency(Resources(), silent, again=False)
        compared._lock.close()
        return compared, silent.begun

    return run
