"""MobileNet v2 (1801.04381): inverted residuals with linear bottlenecks."""
import functools

from images.models import mobilenet_utils
from images.models.mobilenet_utils import Block, Conv

_ROWS = (
    Conv('Conv', 32, kernel=3, stride=2),
    Block('expanded_conv', 16, expansion=1),
    Block('expanded_conv_1', 24, stride=2),
    Block('expanded_conv_2', 24),
    Block('expanded_conv_3', 32, stride=2),
    Block('expanded_conv_4', 32),
    Block('expanded_conv_5', 32),
    Block('expanded_conv_6', 64, stride=2),
    Block('expanded_conv_7', 64),
    Block('expanded_conv_8', 64),
    Block('expanded_conv_9', 64),
    Block('expanded_conv_10', 96),
    Block('expanded_conv_11', 96),
    Block('expanded_conv_12', 96),
    Block('expanded_conv_13', 160, stride=2),
    Block('expanded_conv_14', 160),
    Block('expanded_conv_15', 160),
    Block('expanded_conv_16', 320),
    Conv('Conv_1', 1280, shrinks=False),
)

_declare = functools.partial(mobilenet_utils.declare, scope='MobilenetV2', rows=_ROWS)

mobilenet_v2 = _declare('mobilenet_v2')
mobilenet_v2_140 = _declare('mobilenet_v2_140', multiplier=1.4)
mobilenet_v2_035 = _declare('mobilenet_v2_035', multiplier=0.35)
