"""Networks in which each of several domains has a path: searched, retrained, with decoders."""

from .common_policy import CommonPolicy
from .cost import PathNetworkCost, measure_paths, with_path_cost
from .domain_encoder_decoder import DomainEncoderDecoder
from .domain_norm import DomainBatchNorm2d
from .domains import as_domains, require_domain
from .network import PathNetwork
from .policies import FactoredPolicy, FlatPolicy, Policy
from .search_encoder_decoder import PathSearchEncoderDecoder
from .supernet import PathSupernet

__all__ = [
    'CommonPolicy',
    'DomainBatchNorm2d',
    'DomainEncoderDecoder',
    'FactoredPolicy',
    'FlatPolicy',
    'PathNetwork',
    'PathNetworkCost',
    'PathSearchEncoderDecoder',
    'PathSupernet',
    'Policy',
    'as_domains',
    'measure_paths',
    'require_domain',
    'with_path_cost',
]
