"""From a folder to a trained network: the commands of docs/own_data.md, in one process."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmbmtas.command_line import main
from mmbmtas.errors import InputError
from mmbmtas.launch.launch import read_config
from mmbmtas.projects import inspect_folder, make_plan, write_project
from mmbmtas.projects.plan import CPU


@pytest.fixture
def here(tmp_path, write_photos, monkeypatch):
    write_photos(tmp_path / 'photos', 10, (48, 64), missing_depth=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
SHORT = ['--cfg-options', *(f'{loader}.num_workers=0' for loader in LOADERS)]
SHORT += [f'{loader}.persistent_workers=False' for loader in LOADERS]


def test_the_five_commands(here, capsys):
    main(['new-project', 'photos/', '-o', 'my_project', '--device', 'cpu'])
    told = capsys.readouterr().out
    assert 'missing for 3 images, such as images/img_007.jpg' in told
    assert 'scale = 0.001  (guessed: a median of' in told
    assert {p.name for p in (here / 'my_project').iterdir()} == {
        'project.py', 'search.py', 'branched.py', 'README.md', 'samples.png'
    }  # fmt: skip
    main(['search', 'my_project/search.py', *SHORT, 'weight_iters=3'])
    tree = json.loads((here / 'my_project/work_dirs/search/architecture.json').read_text())
    assert tree['tasks'] == ['depth', 'mask']
    main(['retrain', 'my_project/branched.py', *SHORT, 'max_iters=3', 'train_cfg.val_interval=3'])
    checkpoint = 'my_project/work_dirs/branched/iter_3.pth'
    main(['test', 'my_project/branched.py', checkpoint, '--out', 'scores.json', *SHORT])
    scores = json.loads((here / 'scores.json').read_text())
    assert {'depth/rmse', 'mask/mIoU'} <= scores.keys()
    with pytest.raises(SystemExit) as ended:
        main(
            [
                'infer',
                'my_project/branched.py',
                checkpoint,
                'photos/images/img_000.jpg',
                '-o',
                'out',
            ]
        )
    assert ended.value.code == 0
    mask = Image.open(here / 'out/mask/img_000.png')
    assert mask.size == (64, 48)
    assert np.array(mask).max() < 4
    assert np.load(here / 'out/depth/img_000.npy').shape == (48, 64)


def test_both_files_follow_from_one(here):
    plan = make_plan(inspect_folder('photos'), CPU)
    write_project(plan, 'my_project')
    search, branched = (read_config(f'my_project/{name}.py') for name in ('search', 'branched'))
    for part in ('decode_heads', 'data_preprocessor'):
        assert search.model[part] == branched.model[part]
    assert search.model.decode_heads.keys() == {'depth', 'mask'}
    assert search.model.backbone.encoder == branched.model.backbone.encoder
    for cfg in (search, branched):
        assert cfg.train_dataloader.dataset.data_root == str(here / 'photos')
        assert cfg.tasks == ['depth', 'mask']
    assert search.model.resource_loss.target_madds == plan.budget
    assert '_scope_' not in str(search._cfg_dict)


def test_the_papers_search_on_request(here):
    write_project(make_plan(inspect_folder('photos'), CPU), 'p', search='gradient')
    cfg = read_config('p/search.py')
    assert cfg.train_cfg.type == 'BranchedSearchLoop'
    assert any(hook['type'] == 'TemperatureHook' for hook in cfg.custom_hooks)


def test_a_single_task_has_no_budget(here):
    shutil.rmtree('photos/depth')
    write_project(make_plan(inspect_folder('photos'), CPU), 'p')
    assert 'target_madds' not in read_config('p/search.py').model.resource_loss


def test_folders_of_splits_become_a_list(here):
    for split, numbers in (('train', range(7)), ('val', range(7, 10))):
        for kind, ending in (('images', '.jpg'), ('masks', '_mask.png')):
            (here / 'split' / split / kind).mkdir(parents=True)
            for i in numbers:
                name = f'img_{i:03d}{ending}'
                (here / 'photos' / kind / name).rename(here / 'split' / split / kind / name)
    (here / 'photos/classes.txt').rename(here / 'split/classes.txt')
    main(['new-project', 'split', '-o', 'p', '--device', 'cpu'])
    rows = (here / 'p/files.csv').read_text().splitlines()
    assert rows[0] == 'image,mask,split'
    assert 'train/images/img_000.jpg,train/masks/img_000_mask.png,train' in rows
    assert sum(row.endswith(',val') for row in rows) == 3
    cfg = read_config('p/branched.py')
    assert cfg.val_dataloader.dataset.files == str(here / 'p/files.csv')


def test_a_dry_run_writes_nothing(here, capsys):
    main(['new-project', 'photos', '-o', 'p', '--dry-run', '--device', 'cpu'])
    assert not (here / 'p').exists()
    told = capsys.readouterr().out
    for name in ('project.py', 'search.py', 'branched.py', 'README.md'):
        assert f'===== p/{name}' in told


def test_a_project_is_not_overwritten(here):
    plan = make_plan(inspect_folder('photos'), CPU)
    write_project(plan, 'p')
    with pytest.raises(InputError, match=r'p/project\.py exists: choose another folder'):
        write_project(plan, 'p')
