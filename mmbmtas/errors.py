"""Errors that a user can fix: tools print them in one line, without a traceback.

Code that finds fault with what a user gave (a config, a file, an option) raises one of these, with
a message that says what was wrong, where, and what would be right. Any other exception is a fault
of the code, and keeps its traceback. Each class also is the built-in exception that Python code
expects.
"""


class UserError(Exception):
    """The base of all errors that a user can fix."""


class InputError(UserError, ValueError):
    """A value, a file's content or a combination of settings is wrong."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that the user named does not exist."""


class OccupiedError(UserError, FileExistsError):
    """Writing would replace a file or folder that must be kept."""


class WorkerError(UserError, ChildProcessError):
    """A process that helps this one, such as a data loader's worker, has died."""


class DivergenceError(UserError, FloatingPointError):
    """A training has reached numbers that are not finite."""
