"""Predicted classes as the server of the Visual Decathlon takes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric

from mmbmtas.errors import InputError
from mmbmtas.evaluation.metrics.base import to_numpy
from mmbmtas.registry import METRICS
from mmbmtas.writing import file_place, written_beside


@METRICS.register_module()
class DecathlonResults(BaseMetric):
    """Write ``[{"image_id", "category_id"}, ...]`` of all images of some domains; scores nothing.

    The form is that of COCO's results (ours to guess: check it with the server's own readme).

    Args:
        domains: The domains, as published or as the network's tasks: ``-`` is ``_``.
        out_file: Where to write.
        collect_device: ``cpu`` or ``gpu``, where ranks exchange results.
        collect_dir: With ``cpu``, a directory for the exchange that all ranks share.

    Raises:
        InputError: ``domains`` names none.
    """

    def __init__(
        self,
        domains: Sequence[str],
        out_file: str,
        collect_device: str = 'cpu',
        collect_dir: str | None = None,
    ) -> None:
        if not domains or isinstance(domains, str):
            raise InputError(f'domains {domains!r} of DecathlonResults: expected a list of names')
        super().__init__(collect_device, collect_dir=collect_dir)
        self.domains = tuple(domain.replace('-', '_') for domain in domains)
        self.out_file = file_place(out_file)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note the class of each image of the domains.

        Raises:
            InputError: The data sets do not say the numbers of a domain's classes.
        """
        known = (self.dataset_meta or {}).get('category_ids') or {}
        if lost := [domain for domain in self.domains if domain not in known]:
            raise InputError(
                f'DecathlonResults: the data sets state no category_ids of {", ".join(lost)}, only '
                f'of {[*known]}; expected a VisualDecathlon of each domain'
            )
        for sample in data_samples:
            entries = []
            for domain in self.domains:
                if f'pred_{domain}' not in sample:
                    continue
                label = int(to_numpy(sample[f'pred_{domain}']['label']).item())
                category = known[domain][label]
                entries.append({'image_id': sample['img_id'], 'category_id': category})
            self.results.append(entries)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the file; there is no score."""
        entries = sorted((e for found in results for e in found), key=lambda e: e['image_id'])
        lines = ',\n'.join(
            f'{{"image_id": {e["image_id"]}, "category_id": {e["category_id"]}}}' for e in entries
        )
        with written_beside(Path(self.out_file)) as beside:
            beside.write_text(f'[\n{lines}\n]\n')
        return {}
