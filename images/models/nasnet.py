"""NASNet-A (1707.07012): normal and reduction cells found by reinforcement learning."""
import functools

from images.models import nasnet_utils
from images.models.nasnet_utils import Cell, Plan

NORMAL = Cell(
    sums=(
        (('separable_5x5', 0), ('separable_3x3', 1)),
        (('separable_5x5', 1), ('separable_3x3', 1)),
        (('avg_pool_3x3', 0), ('none', 1)),
        (('avg_pool_3x3', 1), ('avg_pool_3x3', 1)),
        (('separable_3x3', 0), ('none', 0)),
    ),
    outputs=(1, 2, 3, 4, 5, 6))
REDUCTION = Cell(
    sums=(
        (('separable_5x5', 0), ('separable_7x7', 1)),
        (('max_pool_3x3', 0), ('separable_7x7', 1)),
        (('avg_pool_3x3', 0), ('separable_5x5', 1)),
        (('none', 3), ('avg_pool_3x3', 2)),
        (('separable_3x3', 2), ('max_pool_3x3', 0)),
    ),
    outputs=(3, 4, 5, 6))

_plan = functools.partial(Plan, NORMAL, REDUCTION)

nasnet_cifar_arg_scope = functools.partial(
    nasnet_utils.nasnet_arg_scope, weight_decay=5e-4, decay=0.9, epsilon=1e-5)
nasnet_mobile_arg_scope = functools.partial(nasnet_utils.nasnet_arg_scope, weight_decay=4e-5)
nasnet_large_arg_scope = functools.partial(nasnet_utils.nasnet_arg_scope, weight_decay=5e-5)

nasnet_cifar = nasnet_utils.declare('nasnet_cifar', _plan(
    cells=18, filters=32, stem_filters=96, imagenet_stem=False, dropout_keep_prob=1.0,
    drop_path_keep_prob=0.6, drop_path_steps=937500), default_image_size=32)
nasnet_mobile = nasnet_utils.declare('nasnet_mobile', _plan(
    cells=12, filters=44, stem_filters=32), default_image_size=224)
nasnet_large = nasnet_utils.declare('nasnet_large', _plan(
    cells=18, filters=168, stem_filters=96, skip_reduction=True, drop_path_keep_prob=0.7),
    default_image_size=331)
