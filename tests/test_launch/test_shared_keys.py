"""Keys at the top of a config: what they fill in, and who wins where entries are stated."""

import pytest
from mmengine.config import Config

from mmbmtas import launch
from mmbmtas.launch.shared_keys import fill_in, share_batch

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
OWN_LENGTH = """
max_iters = 100
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2 * max_iters)
param_scheduler = [dict(type='PolyLR', by_epoch=False)]
"""


@pytest.fixture
def write(tmp_path, pytestconfig):
    """Write a config over one of ours, or over another written one, or over none."""

    def write(text, base='search_scenes.py', name='own.py'):
        if base is not None:
            path = tmp_path / base
            path = path if path.is_file() else pytestconfig.rootpath / 'configs' / base
            text = f'_base_ = {str(path)!r}\n{text}'
        (tmp_path / name).write_text(f'{text}\n')
        return str(tmp_path / name)

    return write


@pytest.fixture
def derive(write):
    return lambda *args, **kwargs: launch.read_config(write(*args, **kwargs))


@pytest.fixture
def read(pytestconfig):
    """Read a config of ours with overrides, and prepare it for a rank."""

    def read(name, options):
        cfg = launch.read_config(str(pytestconfig.rootpath / 'configs' / name), options)
        cfg.launcher = 'none'
        return launch.prepare_config(cfg)

    return read


def roots(cfg):
    return [cfg[name].dataset.data_root for name in LOADERS]


class TestAFile:
    """What a file says over its base."""

    def test_the_data(self, derive):
        assert roots(derive("data_root = 'elsewhere'")) == ['elsewhere'] * 3

    def test_what_the_file_states_stays(self, derive):
        cfg = derive("data_root = 'a'\nval_dataloader = dict(dataset=dict(data_root='b'))")
        assert roots(cfg) == ['a', 'b', 'a']

    def test_the_length_of_a_search(self, derive):
        assert derive('weight_iters = 7').train_cfg.weight_iters == 7

    @pytest.mark.parametrize(
        'text', ['max_iters = 33', 'train_cfg = dict(max_iters=33)'], ids=['key', 'entry']
    )
    def test_the_length_of_a_training_and_its_schedulers(self, derive, text):
        cfg = derive(text, 'branched_pascal.py')
        assert cfg.get('max_iters', 33) == cfg.train_cfg.max_iters == 33
        assert [scheduler.end for scheduler in cfg.param_scheduler] == [33]

    def test_the_tasks(self, derive):
        cfg = derive("tasks = ['semseg', 'edge']")
        assert [*cfg.model.decode_heads] == cfg.model.backbone.tasks == ['semseg', 'edge']
        assert cfg.train_dataloader.dataset.tasks == ['semseg', 'edge']

    def test_a_decoder_more(self, derive):
        own = "model = dict(decode_heads=dict(rim=dict(type='DeepLabV3PlusHead')))"
        cfg = derive(own)
        assert [*cfg.model.decode_heads] == cfg.tasks == cfg.model.backbone.tasks
        assert cfg.tasks[-1] == 'rim'
        assert 'rim' not in cfg.train_dataloader.dataset.tasks  # its class has no such labels

    def test_a_chain_of_files(self, derive):
        derive("data_root = 'one'\nweight_iters = 5", name='middle.py')
        assert derive('', 'middle.py').train_cfg.weight_iters == 5
        assert roots(derive("data_root = 'two'", 'middle.py')) == ['two'] * 3

    def test_batches_of_a_rank(self, write):
        path = write('train_dataloader = dict(batch_size=4)', 'branched_scenes.py')
        cfg = launch.read_config(path)
        share_batch(cfg, 2)
        assert (cfg.train_dataloader.batch_size, cfg.get('total_batch_size')) == (4, None)

    def test_a_key_over_a_computed_entry(self, derive, write):
        """Whoever overrides the key of an old-style base learns which entry to set."""
        assert derive(OWN_LENGTH, base=None, name='base.py').train_cfg.max_iters == 200
        with pytest.raises(ValueError, match=r'max_iters = 5 has no .*train_cfg\.max_iters = 200'):
            derive('max_iters = 5', 'base.py')
        write('max_iters = 5', 'base.py', 'middle.py')
        with pytest.raises(ValueError, match='max_iters = 5 has no effect'):
            derive('', 'middle.py')

    def test_both_in_one_file(self, derive):
        with pytest.raises(ValueError, match=r'weight_iters = 7 .* train_cfg\.weight_iters = 9'):
            derive('weight_iters = 7\ntrain_cfg = dict(weight_iters=9)')
        with pytest.raises(ValueError, match=r'size = 4 has no .*_dataloader\.batch_size = 8'):
            derive('total_batch_size = 4\ntrain_dataloader = dict(batch_size=8)')

    def test_a_file_of_the_newer_style(self, tmp_path):
        (tmp_path / 'parts.py').write_text(
            "train_cfg = dict(val_interval=3)\ndata_root = 'a'\nmax_iters = 9\n"
            "param_scheduler = [dict(type='PolyLR', by_epoch=False)]\n"
            "train_dataloader = dict(dataset=dict(split='train'))\n"
        )
        (tmp_path / 'own.py').write_text(
            'from mmengine.config import read_base\n\n'
            'with read_base():\n    from .parts import *\n\n'
            "max_iters = 5\ndata_root = 'b'\n"
        )
        cfg = launch.read_config(str(tmp_path / 'own.py'), {'data_root': 'c'})
        assert (cfg.train_cfg.max_iters, cfg.param_scheduler[0].end) == (5, 5)
        assert cfg.train_dataloader.dataset.data_root == 'c'
        (tmp_path / 'parts.py').write_text('max_iters = 9\ntrain_cfg = dict(max_iters=max_iters)')
        with pytest.raises(ValueError, match=r'max_iters = 5 has no .*train_cfg\.max_iters = 9'):
            launch.read_config(str(tmp_path / 'own.py'), {})


class TestTheCommandLine:
    """What it says wins, or is refused with the entry that stands against it."""

    def test_batches_of_a_rank(self, read):
        cfg = read('branched_scenes.py', {'train_dataloader.batch_size': 4})
        assert cfg.train_dataloader.batch_size == 4
        assert read('branched_scenes.py', {}).train_dataloader.batch_size == 8

    def test_batches_stated_twice(self, read):
        both = {'train_dataloader.batch_size': 4, 'total_batch_size': 8}
        with pytest.raises(ValueError, match=r'total_batch_size = 8 has no .*batch_size = 4'):
            read('branched_scenes.py', both)
        both['total_batch_size'] = 4
        assert read('branched_scenes.py', both).train_dataloader.batch_size == 4

    def test_the_tree_of_the_backbone(self, read, toys, tmp_path):
        tree = toys.random_tree(['edge', 'semseg'])
        tree.save(tmp_path / 'tree.json')
        options = {'model.backbone.architecture': str(tmp_path / 'tree.json')}
        cfg = read('branched_scenes.py', options)
        assert cfg.model.backbone.architecture == str(tmp_path / 'tree.json')
        assert 'architecture' not in cfg  # it would be another
        assert {*cfg.model.decode_heads} == {*cfg.tasks} == {'edge', 'semseg'}
        both = {**options, 'architecture': 'another.json'}
        with pytest.raises(ValueError, match='State one of the two: architecture'):
            read('branched_scenes.py', both)

    @pytest.mark.parametrize(
        ('key', 'entry', 'value'),
        [
            ('cost_shape', 'model.cost_shape', [64, 96]),
            ('max_iters', 'train_cfg.max_iters', 5),
            ('pretrained', 'model.backbone.init_cfg', {'type': 'Pretrained', 'checkpoint': 'a'}),
        ],
    )
    def test_an_entry_wins(self, pytestconfig, key, entry, value):
        path = str(pytestconfig.rootpath / 'configs' / 'branched_scenes.py')
        cfg = launch.read_config(path, {entry: value})
        holder, field = entry.rsplit('.', 1)
        node = cfg
        for name in holder.split('.'):
            node = node[name]
        assert node[field] == value
        assert cfg.get(key) in (None, value)

    def test_a_part_that_holds_the_entry(self, read):
        cfg = read('branched_scenes.py', {'train_cfg': {'max_iters': 5}})
        assert (cfg.train_cfg.max_iters, cfg.param_scheduler[0].end) == (5, 5)

    @pytest.mark.parametrize(
        ('option', 'entry'),
        [
            ({'max_iters': 5}, r'train_cfg\.max_iters = 200'),
            ({'data_root': 'new'}, r"train_dataloader\.dataset\.data_root = 'a/b'"),
            ({'pretrained': 'new.pth'}, r'model\.backbone\.init_cfg = '),
        ],
    )
    def test_a_key_that_reaches_nothing(self, write, option, entry):
        text = """
data_root = 'a'
pretrained = None
train_dataloader = dict(dataset=dict(data_root=data_root + '/b'))
model = dict(backbone=dict(init_cfg=dict(type='Kaiming')))
"""
        path = write(OWN_LENGTH + text, base=None)
        ((name, value),) = option.items()
        with pytest.raises(ValueError, match=f'{name} = {value!r} has no .* states {entry}'):
            launch.read_config(path, option)

    def test_a_key_that_nothing_takes(self, write):
        path = write("data_root = 'old'", base=None)
        with pytest.raises(ValueError, match=r"data_root = 'new' has no effect: nothing in .*own"):
            launch.read_config(path, {'data_root': 'new'})

    @pytest.mark.parametrize('value', [0, -3, 2.5, True, 'many'])
    @pytest.mark.parametrize('key', ['max_iters', 'total_batch_size'])
    def test_counts_without_meaning(self, read, key, value):
        with pytest.raises(ValueError, match=rf'{key}=.*: expected a whole number from 1'):
            read('branched_scenes.py', {key: value})


@pytest.mark.parametrize('name', ['search_scenes.py', 'branched_scenes.py'])
def test_a_written_config_takes_overrides_as_its_source_does(read, pytestconfig, tmp_path, name):
    written = str(tmp_path / name)
    read(name, {}).dump(written)
    length = 'weight_iters' if 'search' in name else 'max_iters'
    options = {'data_root': 'new', length: 70, 'total_batch_size': 3, 'cost_shape': (32, 64)}
    options |= {'pretrained': 'torchvision://a'}
    again = launch.prepare_config(launch.read_config(written, options))
    assert again.to_dict() == read(name, options).to_dict()
    assert roots(again) == ['new'] * 3


def test_a_loaded_config_follows_its_keys(pytestconfig):
    """What was filled in follows the key; what a notebook states meanwhile stays."""
    cfg = launch.read_config(str(pytestconfig.rootpath / 'configs' / 'branched_scenes.py'))
    cfg.data_root, cfg.max_iters = 'new', 7
    cfg.val_dataloader.dataset.data_root = 'own'
    fill_in(cfg)
    assert roots(cfg) == ['new', 'own', 'new']
    assert (cfg.train_cfg.max_iters, cfg.param_scheduler[0].end) == (7, 7)
    cfg.train_cfg.max_iters = 9
    assert fill_in(cfg).param_scheduler[0].end == 9
    assert 'max_iters' not in cfg


def test_a_written_config_edited_by_hand(read, tmp_path):
    written = tmp_path / 'branched_scenes.py'
    cfg = read('branched_scenes.py', {})
    cfg.val_dataloader.dataset.data_root = 'mine'
    cfg.data_root = 'theirs'
    cfg.dump(written)
    assert roots(launch.read_config(str(written))) == ['theirs', 'mine', 'theirs']
    assert roots(launch.read_config(str(written), {'data_root': 'c'})) == ['c', 'mine', 'c']


@pytest.mark.parametrize('value', [None, {'type': 'Normal', 'layer': 'Conv2d'}])
def test_an_entry_stated_as_nothing_stays(pytestconfig, value):
    cfg = Config.fromfile(pytestconfig.rootpath / 'configs' / 'branched_scenes.py')
    cfg.model.backbone.init_cfg = value
    cfg.pretrained = 'a.pth'
    assert fill_in(cfg).model.backbone.init_cfg == value


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('branched_scenes.py', {'data_root': 'a', 'max_iters': 5, 'total_batch_size': 2}),
        ('branched_scenes.py', {'tasks': ['edge', 'semseg'], 'cost_shape': (32, 64)}),
        ('search_scenes.py', {'weight_iters': 5, 'pretrained': 'a.pth', 'tasks': ['edge']}),
    ],
)
def test_one_result_by_every_way(read, pytestconfig, tmp_path, name, options):
    """The command line, a derived file, one of mmengine's newer style, and a notebook."""
    base = pytestconfig.rootpath / 'configs' / name
    lines = ''.join(f'{key} = {value!r}\n' for key, value in options.items())
    (tmp_path / 'derived.py').write_text(f'_base_ = {str(base)!r}\n{lines}')
    parts = Config.fromfile(base).to_dict()
    (tmp_path / 'parts.py').write_text(''.join(f'{k} = {v!r}\n' for k, v in parts.items()))
    (tmp_path / 'newer.py').write_text(
        'from mmengine.config import read_base\n\n'
        f'with read_base():\n    from .parts import *\n\n{lines}'
    )
    notebook = Config.fromfile(base)
    for key, value in options.items():
        notebook[key] = value
    expected = launch.read_config(str(base), options).to_dict()
    others = [launch.read_config(str(tmp_path / f'{way}.py')) for way in ('derived', 'newer')]
    for cfg in (*others, fill_in(notebook)):
        found = {key: value for key, value in cfg.to_dict().items() if key in expected}
        assert found == expected


def test_only_what_takes_a_key_gets_it():
    datasets = [{'type': 'PascalContextMT'}, {'type': 'mmseg.CityscapesDataset'}]
    cfg = Config(
        {
            'data_root': 'a',
            'tasks': ['edge'],
            'cost_shape': (9, 7),
            'model': {'backbone': {'type': 'BranchedNetwork'}},
            'train_dataloader': {'dataset': {'type': 'ConcatDataset', 'datasets': datasets}},
        }
    )
    fill_in(cfg)
    ours, theirs = cfg.train_dataloader.dataset.datasets
    assert (ours.data_root, ours.tasks) == ('a', ['edge'])
    assert theirs == {'type': 'mmseg.CityscapesDataset', 'data_root': 'a'}
    assert cfg.model == {'backbone': {'type': 'BranchedNetwork'}, 'cost_shape': (9, 7)}
    before = cfg.to_dict()
    fill_in(cfg)
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('name', 'value'),
    [('compile', True), ('efficient_conv_bn_eval', ['backbone']), ('activation_checkpointing', [])],
)
def test_keys_that_mmengine_reads_are_taken(pytestconfig, name, value):
    path = pytestconfig.rootpath / 'configs' / 'branched_scenes.py'
    assert launch.read_config(str(path), {name: value})[name] == value


def test_modules_named_on_the_command_line_are_imported(pytestconfig):
    path = str(pytestconfig.rootpath / 'configs' / 'branched_scenes.py')
    with pytest.raises(ValueError, match=r'custom_imports=.*no_such_module'):
        launch.read_config(path, {'custom_imports.imports': ['no_such_module']})


@pytest.mark.parametrize(
    ('name', 'line', 'message'),
    [
        ('planted/branched.py', "data_root = 'there'", "data_root = 'there' has no effect"),
        ('exchange/mtan_scenes.py', "architecture = 'a.json'", "'a.json' has no effect: nothing"),
        ('search_scenes.py', 'max_iters = 5', r"max_iters = 5 has .*keys are .*'weight_iters'"),
        ('planted/branched.py', "path = data_root = 'there'\nwork_dir = data_root", None),
        ('planted/branched.py', 'max_iters = 40', None),
        ('exchange/nddr_scenes.py', "single_checkpoints = dict(semseg='a.pth')", None),
    ],
)
def test_a_file_states_keys_as_the_command_line_does(pytestconfig, tmp_path, name, line, message):
    path = tmp_path / 'own.py'
    path.write_text(f'_base_ = {str(pytestconfig.rootpath / "configs" / name)!r}\n{line}\n')
    if message:
        with pytest.raises(ValueError, match=message):
            launch.read_config(str(path))
        return
    cfg = launch.read_config(str(path))
    if 'max_iters' in line:
        (schedule,) = cfg.param_scheduler
        assert schedule.get('T_max', schedule.end) == 40  # one half of a cosine, to a rate of 0
    if 'single' in line:
        assert cfg.model.init_cfg.checkpoints == {'semseg': 'a.pth'}


class TestChannelsOfDecoders:
    """What a decoder reads is the encoder's to say."""

    def channels(self, cfg):
        return {task: head.in_channels for task, head in cfg.model.decode_heads.items()}

    def test_those_of_the_encoder(self, derive):
        # ResNet-50: 256 channels at stride 4; ASPP to 256.
        cfg = derive('', 'search_pascal_r50.py')
        assert {*map(tuple, self.channels(cfg).values())} == {(256, 256)}

    def test_another_encoder_of_a_filled_config(self, derive, tmp_path):
        cfg = derive('')
        cfg.dump(tmp_path / 'dumped.py')
        options = {'model.backbone.encoder.context_channels': 40}
        again = launch.read_config(str(tmp_path / 'dumped.py'), options)
        for task, (low, context) in self.channels(cfg).items():
            assert context != 40
            assert self.channels(again)[task] == [low, 40]

    def test_a_stated_one_stays(self, derive):
        cfg = derive('model = dict(decode_heads=dict(semseg=dict(in_channels=[1, 2])))')
        assert self.channels(cfg)['semseg'] == [1, 2]

    def test_heads_of_mmseg_and_broken_encoders_get_none(self, derive):
        head = "dict(_delete_=True, type='mmseg.FCNHead', in_index=0, channels=16, num_classes=21)"
        cfg = derive(f'model = dict(decode_heads=dict(semseg={head}))')
        assert 'in_channels' not in cfg.model.decode_heads.semseg
        assert 'in_channels' in cfg.model.decode_heads.edge
        cfg = derive("model = dict(backbone=dict(encoder=dict(type='Nothing')))")
        assert 'in_channels' not in cfg.model.decode_heads.edge
