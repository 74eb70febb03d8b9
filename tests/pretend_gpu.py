"""A pretended GPU: tensors that compute on the CPU and say that they are on ``cuda:0``.

With it, machines without a GPU can tell what CUDA would refuse: operations that mix tensors of both
devices, numpy arrays of tensors on the GPU. It also notes where the CPU waits for the GPU, and
counts what it launches there (``launched``) and what bytes it sends there (``copied``). What it
cannot tell is how fast a GPU is, how its libraries round, and what they draw at random. Torch's own
``FakeTensorMode`` does not serve: without CUDA, autograd aborts the process on its tensors of the
GPU.
"""

import contextlib
import functools
import sys
import time
from collections import Counter
from unittest import mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

GPU = torch.device('cuda', 0)

_aten = torch.ops.aten
_COPYING = {_aten._to_copy, _aten.copy_, _aten._foreach_copy_}
_INDEXED = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
_ANSWERED = {_aten._local_scalar_dense, _aten.equal}  # with a number, not a tensor
_SHAPED = {_aten.nonzero, _aten.masked_select, _aten._unique2}  # by what they find
_SUBSCRIPTS = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
_IN_LOW_PRECISION = {'conv2d', 'linear', 'matmul', '__matmul__', 'mm', 'bmm', 'einsum'}
_IN_SINGLE_PRECISION = {'softmax', 'log_softmax', 'sum', 'prod', 'cumprod', 'log', 'exp', 'norm'}
_IN_THE_WIDEST = {'addcdiv', 'addcmul', 'cat', 'dot', 'stack', 'tensordot'}
_LIBRARIES = ('mmbmtas.', 'mmseg.', 'mmengine.', 'torchjd.', 'torch.optim.', 'torch.amp.')
_waits: list[str] = []
launched = Counter()
copied = Counter()
"""Bytes that went to the GPU."""


class GpuTensor(torch.Tensor):
    """A tensor on the pretended GPU; its numbers are in ``held``.

    To autograd it is one of the ``meta`` device, which needs no driver.
    """

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        assert type(held) is torch.Tensor
        shape = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device='meta')
        tensor = torch.Tensor._make_subclass(cls, shape)
        tensor.held = held
        return tensor

    def __repr__(self):
        return f'GpuTensor({self.held!r})'

    def data_ptr(self):
        return self.held.data_ptr()

    def untyped_storage(self):
        return self.held.untyped_storage()

    def __deepcopy__(self, memo):
        copied = GpuTensor(self.held.clone()).requires_grad_(self.requires_grad)
        vars(copied).update({key: v for key, v in vars(self).items() if key != 'held'})
        return copied

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = _tensors((args, kwargs))
        others = [x for x in tensors if type(x) is not cls]
        _refuse_mixtures(func, args, others)
        downwards = _is('cpu', kwargs.pop('device', None))
        _note_waiting(func.overloadpacket, args, downwards or bool(others))
        if not _is_free(func):
            launched[func.overloadpacket.__name__] += 1
        args, kwargs = _map(lambda x: x.held if type(x) is cls else x, (args, kwargs))
        Graph.touch(args)
        result = func(*args, **kwargs)
        if downwards:
            return result
        if not _is_free(func):
            Graph.record(functools.partial(func, *args, **kwargs), result)
        known = {id(x.held): x for x in tensors if type(x) is cls} | {id(x): x for x in others}
        return _map(lambda x: known[id(x)] if id(x) in known else cls(x), result)


def _map(change, value):
    """Change the tensors within what an operation takes or gives."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if type(value) is dict:
        return {key: _map(change, part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_map(change, part) for part in value)
    return value


def _tensors(value):
    found = []
    _map(found.append, value)
    return found


def _refuse_mixtures(func, args, others):
    """Raise where CUDA would: it takes numbers of the CPU, and indices into its own tensors."""
    op = func.overloadpacket
    if not others or (op in _COPYING and not any(x.is_meta for x in others)):
        return
    onto_gpu = isinstance(args[0], GpuTensor)
    indices = _tensors(args[1]) if op in _INDEXED and onto_gpu else []
    if all(x.is_cpu and any(x is index for index in indices) for x in others):
        return
    elementwise = torch.Tag.pointwise in func.tags or '_foreach' in func.name()
    scalars = elementwise and all(x.is_cpu and x.dim() == 0 for x in others)
    if not scalars or (func._schema.is_mutable and not onto_gpu):
        raise RuntimeError(f'{func} of tensors on {GPU} and on {others[0].device}')


def _is_free(func):
    """Tell whether an operation computes nothing: views, and memory without content."""
    aliases = [given.alias_info for given in func._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in aliases)
    return is_view or 'empty' in func.name() or func.overloadpacket is _aten._unsafe_view


def _note_waiting(op, args, across):
    """Note where the CPU waits: for numbers, for shapes, and while something is copied."""
    masked = op in _INDEXED and any(
        x.dtype == torch.bool for x in args[1] if isinstance(x, torch.Tensor)
    )
    if op in _ANSWERED | _SHAPED or masked or (across and op in _COPYING | _INDEXED):
        note_wait(op.__name__)


def note_wait(why):
    """Note that the CPU waits for the GPU, and which function lets it: ours, or a library's."""
    frame = sys._getframe(1)
    while frame.f_back and not frame.f_globals.get('__name__', '').startswith(_LIBRARIES):
        frame = frame.f_back
    _waits.append(f'{why} in {frame.f_code.co_name}')
    if Graph.current is not None:
        raise RuntimeError(f'{_waits[-1]}: operation not permitted when stream is capturing')


def _pin(tensor):
    """Copy a tensor to memory that a GPU reads without the CPU."""
    pinned = tensor.clone()
    pinned.is_held_still = True
    return pinned


def to_gpu(tensor, non_blocking=False):
    """Copy a tensor there, as ``Tensor.cuda``; the CPU waits, as torch copies by default.

    It does not where it is told not to, and the tensor lies in pinned memory.
    """
    if isinstance(tensor, GpuTensor):
        return tensor
    if not (non_blocking and getattr(tensor, 'is_held_still', False)):
        note_wait('upload')
    if Graph.current is not None:  # whose memory on the CPU a replay would read
        raise RuntimeError('a copy from the CPU: not permitted when stream is capturing')
    copied['bytes'] += tensor.nbytes
    return GpuTensor(tensor.detach().clone())


class _Calls(TorchFunctionMode):
    """Calls of torch's functions that name the GPU, which torch without CUDA would refuse."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get('device')
        if func is torch.Tensor.cuda:
            return to_gpu(args[0])
        if func == torch.Tensor.data.__set__ and isinstance(args[0], GpuTensor):
            args[0].held = args[1].held
            return None
        if func is torch.Tensor.pin_memory:
            assert args[0].is_cpu, f'pin_memory of a tensor on {args[0].device}'
            return _pin(args[0])
        if func is torch.Tensor.to:
            return _move(*args, **kwargs)
        if func is torch.Tensor.tolist and isinstance(args[0], GpuTensor):
            note_wait('tolist')
            return args[0].held.tolist()
        if func is torch.Tensor.new_tensor and isinstance(args[0], GpuTensor):
            return to_gpu(torch.tensor(*args[1:], **{'dtype': args[0].dtype, **kwargs}))
        if func in _SUBSCRIPTS and isinstance(args[0], GpuTensor):
            return _subscribe(func, *args)
        if _is('cuda', device):
            del kwargs['device']
            return self._make(func, args, kwargs)
        if torch.is_autocast_enabled('cuda'):
            args, kwargs = _autocast(func, (args, kwargs))
        if _is('meta', device):
            with _Factories.meant():
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _make(func, args, kwargs):
        """Call a function that makes a tensor on the GPU, or copies one there."""
        result = func(*args, **kwargs)
        if isinstance(result, GpuTensor):
            return result
        if func in (torch.tensor, torch.as_tensor) or _tensors((args, kwargs)):
            return to_gpu(result)
        Graph.record(lambda: func(*args, **kwargs), result)
        return GpuTensor(result.detach()).requires_grad_(result.requires_grad)


def _subscribe(func, tensor, index, *value):
    """Index a tensor on the GPU without the tensors that torch would make of lists and numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    index = tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts)
    if value and not isinstance(value[0], torch.Tensor):
        return tensor[index].fill_(value[0])
    return func(tensor, index, *value)


def _autocast(func, arguments):
    """Change the precision of what goes into a function as torch does on GPUs, where it matters."""
    name = getattr(func, '__name__', '')
    if name in _IN_LOW_PRECISION:
        dtype = torch.get_autocast_dtype('cuda')
    elif name in _IN_SINGLE_PRECISION:
        dtype = torch.float32
    elif name in _IN_THE_WIDEST:
        low = all(x.dtype != torch.float32 for x in _tensors(arguments))
        dtype = torch.get_autocast_dtype('cuda') if low else torch.float32
    else:
        return arguments

    def cast(x):
        changes = x.is_floating_point() and x.dtype not in (dtype, torch.float64)
        return x.to(dtype) if changes and isinstance(x, GpuTensor) else x

    return _map(cast, arguments)


class _Factories(TorchDispatchMode):
    """Tensors that torch makes of its own accord, on what it takes for the device of others."""

    depth = 0

    @classmethod
    @contextlib.contextmanager
    def meant(cls):
        """Say that the ``meta`` device is meant, not the GPU."""
        cls.depth += 1
        try:
            yield
        finally:
            cls.depth -= 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        meant = self.depth or not all(x.is_cpu for x in _tensors((args, kwargs)))
        if meant or not _is('meta', kwargs.get('device')):
            return func(*args, **kwargs)
        del kwargs['device']
        if func.overloadpacket is _aten._to_copy:
            note_wait('upload')
        result = func(*args, **kwargs)
        Graph.record(lambda: func(*args, **kwargs), result)
        return _map(GpuTensor, result)


def _is(kind, device):
    return device is not None and torch.device(device).type == kind


def _move(tensor, *args, copy=False, **kwargs):
    """``Tensor.to``."""
    if args and isinstance(args[0], torch.Tensor):
        args, kwargs = args[1:], {'device': args[0].device, 'dtype': args[0].dtype, **kwargs}
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    rest = {'copy': copy} | ({} if memory_format is None else {'memory_format': memory_format})
    dtype = dtype or tensor.dtype
    if _is('cuda', device):
        return torch.Tensor.to(to_gpu(tensor, non_blocking), dtype=dtype, **rest)
    if _is('meta', device):
        with _Factories.meant():
            shape = tensor.shape, tensor.stride()
            return torch.empty_strided(*shape, dtype=dtype, device='meta')
    return torch.Tensor.to(tensor, dtype=dtype, **({'device': device} if device else {}), **rest)


class Graph:
    """``torch.cuda.CUDAGraph``: repeats what was launched, on the memory that it was launched on.

    What Python decided stays as it was, numbers too. Unlike a real one, it runs while it is
    recorded, which is undone in the end.
    """

    current = None

    def __init__(self):
        self.calls = []
        self.before = {}

    @classmethod
    def touch(cls, args):
        """Keep what tensors held before they were first used."""
        if cls.current is not None:
            for tensor in _tensors(args):
                key = tensor.data_ptr(), tensor.shape, tensor.stride()
                if key not in cls.current.before:
                    cls.current.before[key] = tensor, tensor.clone()

    def undo(self):
        for tensor, value in reversed(self.before.values()):
            if not torch._debug_has_internal_overlap(tensor):
                tensor.copy_(value)
        self.before.clear()

    @classmethod
    def record(cls, call, result):
        if cls.current is not None:
            cls.current.calls.append((call, _tensors(result)))

    def replay(self):
        with torch.no_grad():
            for call, results in self.calls:
                for old, new in zip(results, _tensors(call()), strict=True):
                    if new.data_ptr() != old.data_ptr():
                        old.copy_(new)


@contextlib.contextmanager
def _capture(graph, pool=None, capture_error_mode='global'):
    """``torch.cuda.graph``."""
    Graph.current = graph
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            Graph.current = None
            with torch.no_grad():
                graph.undo()


class _Event:
    """``torch.cuda.Event``, by the clock on the wall."""

    def __init__(self, **_):
        self.time = None

    def record(self, stream=None):
        self.time = time.perf_counter()

    def elapsed_time(self, end):
        return 1e3 * (end.time - self.time)


def _load(load):
    """``torch.load`` that knows the GPU as a place."""

    def onto(file, map_location=None, **kwargs):
        if not _is('cuda', map_location):
            return load(file, map_location=map_location, **kwargs)
        return tree_map_only(torch.Tensor, to_gpu, load(file, map_location='cpu', **kwargs))

    return onto


@contextlib.contextmanager
def pretend_gpu():
    """Let there be a GPU.

    Yields:
        Where the CPU has waited for the GPU, a line each; to be cleared before what is of interest.
    """
    cuda = {
        'is_available': lambda: True,
        'is_bf16_supported': lambda: True,
        'is_current_stream_capturing': lambda: False,
        'device_count': lambda: 1,
        'current_device': lambda: 0,
        'current_stream': lambda device=None: mock.Mock(),
        'get_device_name': lambda device=None: 'a pretended GPU',
        'synchronize': lambda device=None: note_wait('synchronize'),
        'manual_seed_all': lambda seed: None,
        'get_rng_state': lambda device=None: torch.get_rng_state(),
        'set_rng_state': lambda state, device=None: torch.set_rng_state(state),
        'memory_allocated': lambda device=None: 0,
        'max_memory_allocated': lambda device=None: 2**20,
        'reset_peak_memory_stats': lambda device=None: None,
        'device': lambda device: contextlib.nullcontext(),
        'Event': _Event,
        'CUDAGraph': Graph,
        'graph': _capture,
        'graph_pool_handle': lambda: (0, 0),
        'Stream': mock.Mock,
        'stream': lambda stream: contextlib.nullcontext(),
    }
    if not hasattr(torch.__future__, 'get_swap_module_params_on_conversion'):
        pytest.skip('pretending a GPU needs torch 2.3')
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        if hasattr(torch, 'accelerator'):  # loaders ask if there is one, optimisers for its stream
            accelerator = {
                'is_available': lambda: True,
                'current_accelerator': lambda check_available=False: GPU,
            }
            for name, value in accelerator.items():
                if hasattr(torch.accelerator, name):
                    stack.enter_context(mock.patch.object(torch.accelerator, name, value))
            stream = mock.Mock(is_capturing=lambda: False)
            stack.enter_context(
                mock.patch.object(torch.accelerator, 'current_stream', return_value=stream)
            )
        stack.enter_context(mock.patch('mmengine.device.utils.DEVICE', 'cuda'))
        stack.enter_context(mock.patch('torch.load', _load(torch.load)))
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swaps)
        torch.__future__.set_swap_module_params_on_conversion(True)  # as CUDA keeps parameters
        stack.enter_context(_Calls())
        stack.enter_context(_Factories())
        _waits.clear()
        yield _waits


@contextlib.contextmanager
def real_gpu():
    """Take the GPU of this machine in :func:`pretend_gpu`'s place; in whole single precision."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield []
