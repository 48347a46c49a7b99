"""PNASNet-5 (1712.00559): one cell, found by progressive search, that also reduces."""
import functools

from images.models import nasnet_utils
from images.models.nasnet_utils import Cell, Plan

CELL = Cell(
    sums=(
        (('separable_5x5', 1), ('max_pool_3x3', 1)),
        (('separable_7x7', 0), ('max_pool_3x3', 0)),
        (('separable_5x5', 0), ('separable_3x3', 0)),
        (('separable_3x3', 4), ('max_pool_3x3', 0)),
        (('separable_3x3', 1), ('none', 0)),
    ),
    outputs=(2, 3, 4, 5, 6))

_plan = functools.partial(Plan, CELL, None, skip_reduction=True)

pnasnet_arg_scope = functools.partial(nasnet_utils.nasnet_arg_scope, weight_decay=4e-5)

pnasnet_mobile = nasnet_utils.declare(
    'pnasnet_mobile', _plan(cells=9, filters=54, stem_filters=32), default_image_size=224)
pnasnet_large = nasnet_utils.declare('pnasnet_large', _plan(
    cells=12, filters=216, stem_filters=96, drop_path_keep_prob=0.6), default_image_size=331)
