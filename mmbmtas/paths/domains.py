"""Domains, which have a path each, and the tasks of each domain."""

from collections.abc import Mapping, Sequence
from itertools import chain

from mmbmtas.errors import InputError
from mmbmtas.structures.documents import MAX_TASKS, are_tasks


def as_domains(domains: Sequence[str] | Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the tasks of each domain.

    Args:
        domains: Names of domains, each with the one task of its name, or the tasks of each.

    Raises:
        InputError: A name means nothing, or a task stands twice.

    Example:
        >>> as_domains(['digits', 'faces'])
        {'digits': ('digits',), 'faces': ('faces',)}
    """
    if isinstance(domains, str) or not isinstance(domains, Sequence | Mapping):
        raise InputError(f'domains {domains!r}: expected a list of names, or {{domain: tasks}}')
    if isinstance(domains, Mapping):
        found = {
            domain: (tasks,) if isinstance(tasks, str) else tuple(tasks)
            for domain, tasks in domains.items()
        }
    else:
        found = {domain: (domain,) for domain in domains}
    tasks = [*chain(*found.values())]
    usual = are_tasks([*found]) and all(found.values()) and are_tasks(tasks)
    if not usual or len(found) != len(domains):
        raise InputError(
            f'domains {domains!r}: expected 1 to {MAX_TASKS} different identifiers, each with '
            'tasks that no other has'
        )
    return found


def require_domain(domain: object, domains: Mapping[str, object], where: str) -> str:
    """Return a name that is one of the domains.

    Raises:
        InputError: It is none; ``where`` says what named it.
    """
    if domain not in domains:
        raise InputError(f'{where} {domain!r}: expected one of the domains {[*domains]}')
    return str(domain)
