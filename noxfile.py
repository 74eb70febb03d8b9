"""The fast tests on stacks other than that of CI: `nox` or `nox -s oldest`; see CONTRIBUTING.md."""

import nox

nox.options.error_on_missing_interpreters = True

MM = ('-r', 'requirements/mminstall.txt')
BALANCING = ('-r', 'requirements/balancing.txt')


@nox.session(python='3.10')
def oldest(session: nox.Session) -> None:
    """Run the tests on the oldest releases, for which there is no TorchJD."""
    test(session, '-c', 'requirements/constraints-oldest.txt', *MM)


@nox.session(python='3.12')
def newest(session: nox.Session) -> None:
    """Run the tests on the newest releases that the requirements admit."""
    test(session, *MM, *BALANCING)


@nox.session(python='3.12')
def forks(session: nox.Session) -> None:
    """Run the tests on the maintained forks of the packages of OpenMMLab."""
    test(session, '-r', 'requirements/forks.txt', *BALANCING)


def test(session: nox.Session, *requirements: str) -> None:
    """Install requirements, then run the tests; arguments after `--` go to pytest."""
    files = ('runtime', 'tests', 'onnx', 'cells', 'pocket', 'hdf5', 'timm')
    ours = [word for name in files for word in ('-r', f'requirements/{name}.txt')]
    session.install(*requirements, *ours)
    session.install('--no-deps', '-e', '.')
    session.run(
        'python',
        *('-m', 'pytest', '-n', '2', '-m', 'not slow and not gpu', *session.posargs),
        env={'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
    )
