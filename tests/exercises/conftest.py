"""The stand-ins of the comparison's command lines, see tests/test_comparison/conftest.py."""

import importlib.util
from pathlib import Path

_PLACE = Path(__file__).parents[1] / 'test_comparison' / 'conftest.py'
_spec = importlib.util.spec_from_file_location('comparison_stand_ins', _PLACE)
_stand_ins = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_stand_ins)

tools, compare = _stand_ins.tools, _stand_ins.compare
