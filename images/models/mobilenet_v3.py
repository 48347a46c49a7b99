"""MobileNet v3 (1905.02244), large and small, and MobileNet-EdgeTPU (2003.02838)."""
import functools

from images.models import mobilenet_utils, model_utils
from images.models.mobilenet_utils import Block, Conv, Pool, hard_swish

_relu = {'activation': model_utils.relu}
_swish = {'activation': hard_swish}
_large = {'kernel': 5}
_excite = {'squeeze_excite': True}

# Table 1 of the paper; the expansions are its inner channels divided by those of the input.
_LARGE = (
    Conv('Conv', 16, kernel=3, stride=2, **_swish),
    Block('expanded_conv', 16, expansion=1, **_relu),
    Block('expanded_conv_1', 24, stride=2, expansion=4, **_relu),
    Block('expanded_conv_2', 24, expansion=72 / 24, **_relu),
    Block('expanded_conv_3', 40, stride=2, expansion=72 / 24, **_relu, **_large, **_excite),
    Block('expanded_conv_4', 40, expansion=3, **_relu, **_large, **_excite),
    Block('expanded_conv_5', 40, expansion=3, **_relu, **_large, **_excite),
    Block('expanded_conv_6', 80, stride=2, **_swish),
    Block('expanded_conv_7', 80, expansion=200 / 80, **_swish),
    Block('expanded_conv_8', 80, expansion=184 / 80, **_swish),
    Block('expanded_conv_9', 80, expansion=184 / 80, **_swish),
    Block('expanded_conv_10', 112, **_swish, **_excite),
    Block('expanded_conv_11', 112, **_swish, **_excite),
    Block('expanded_conv_12', 160, stride=2, **_swish, **_large, **_excite),
    Block('expanded_conv_13', 160, **_swish, **_large, **_excite),
    Block('expanded_conv_14', 160, **_swish, **_large, **_excite),
    Conv('Conv_1', 960, **_swish),
    Pool(),
    Conv('Conv_2', 1280, normalized=False, **_swish),
)

# Table 2 of the paper.
_SMALL = (
    Conv('Conv', 16, kernel=3, stride=2, **_swish),
    Block('expanded_conv', 16, stride=2, expansion=1, **_relu, **_excite),
    Block('expanded_conv_1', 24, stride=2, expansion=72 / 16, **_relu),
    Block('expanded_conv_2', 24, expansion=88 / 24, **_relu),
    Block('expanded_conv_3', 40, stride=2, expansion=4, **_swish, **_large, **_excite),
    Block('expanded_conv_4', 40, **_swish, **_large, **_excite),
    Block('expanded_conv_5', 40, **_swish, **_large, **_excite),
    Block('expanded_conv_6', 48, expansion=3, **_swish, **_large, **_excite),
    Block('expanded_conv_7', 48, expansion=3, **_swish, **_large, **_excite),
    Block('expanded_conv_8', 96, stride=2, **_swish, **_large, **_excite),
    Block('expanded_conv_9', 96, **_swish, **_large, **_excite),
    Block('expanded_conv_10', 96, **_swish, **_large, **_excite),
    Conv('Conv_1', 576, **_swish),
    Pool(),
    Conv('Conv_2', 1024, normalized=False, **_swish),
)

_EDGETPU = (
    Conv('Conv', 32, kernel=3, stride=2, **_relu),
    Block('expanded_conv', 16, expansion=1, fused=True, **_relu),
    Block('expanded_conv_1', 32, stride=2, expansion=8, fused=True, **_relu),
    Block('expanded_conv_2', 32, expansion=4, fused=True, **_relu),
    Block('expanded_conv_3', 32, expansion=4, fused=True, **_relu),
    Block('expanded_conv_4', 32, expansion=4, fused=True, **_relu),
    Block('expanded_conv_5', 48, stride=2, expansion=8, fused=True, **_relu),
    Block('expanded_conv_6', 48, expansion=4, fused=True, **_relu),
    Block('expanded_conv_7', 48, expansion=4, fused=True, **_relu),
    Block('expanded_conv_8', 48, expansion=4, fused=True, **_relu),
    Block('expanded_conv_9', 96, stride=2, expansion=8, **_relu),
    Block('expanded_conv_10', 96, expansion=4, **_relu),
    Block('expanded_conv_11', 96, expansion=4, **_relu),
    Block('expanded_conv_12', 96, expansion=4, **_relu),
    Block('expanded_conv_13', 96, expansion=8, residual=False, **_relu),  # sic
    Block('expanded_conv_14', 96, expansion=4, **_relu),
    Block('expanded_conv_15', 96, expansion=4, **_relu),
    Block('expanded_conv_16', 96, expansion=4, **_relu),
    Block('expanded_conv_17', 160, stride=2, expansion=8, **_relu, **_large),
    Block('expanded_conv_18', 160, expansion=4, **_relu, **_large),
    Block('expanded_conv_19', 160, expansion=4, **_relu, **_large),
    Block('expanded_conv_20', 160, expansion=4, **_relu, **_large),
    Block('expanded_conv_21', 192, expansion=8, **_relu),
    Conv('Conv_1', 1280, shrinks=False, **_relu),
)


def _minimalistic(rows):
  """Return the rows without 5x5 kernels, hard swish and squeeze-and-excite."""
  plain = {Conv: _relu, Block: {'kernel': 3, 'squeeze_excite': False, **_relu}, Pool: {}}
  return tuple(row._replace(**plain[type(row)]) for row in rows)


_v3 = functools.partial(mobilenet_utils.declare, scope='MobilenetV3')
_edgetpu = functools.partial(mobilenet_utils.declare, scope='MobilenetEdgeTPU', rows=_EDGETPU)

mobilenet_v3_large = _v3('mobilenet_v3_large', rows=_LARGE)
mobilenet_v3_small = _v3('mobilenet_v3_small', rows=_SMALL)
mobilenet_v3_large_minimalistic = _v3(
    'mobilenet_v3_large_minimalistic', rows=_minimalistic(_LARGE))
mobilenet_v3_small_minimalistic = _v3(
    'mobilenet_v3_small_minimalistic', rows=_minimalistic(_SMALL))
mobilenet_edgetpu = _edgetpu('mobilenet_edgetpu')
mobilenet_edgetpu_075 = _edgetpu('mobilenet_edgetpu_075', multiplier=0.75)
