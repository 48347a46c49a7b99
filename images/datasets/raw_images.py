"""Turns whatever a photo set contains into JPEG or PNG bytes that TensorFlow reads. Needs Pillow.

Bytes that TensorFlow decodes to the same 8-bit pixels, whatever number of channels is
asked for, are kept as they are: RGB and grey JPEG, RGB and grey 8-bit PNG without
transparency. Everything else becomes an 8-bit RGB PNG, which loses nothing beyond this:

- CMYK: each colour becomes c * k / 255; the inverted values that Adobe writes are
  recognized by its marker.
- transparency: composited onto white, as most transparent drawings are dark.
- 16 bits: the upper 8 are kept.
- animations: the first frame is kept.
- EXIF orientation: not applied, as TensorFlow's decoder does not apply it either, and
  kept and converted images should look alike. (The orientation tag of a TIFF belongs to
  the format itself and is applied.)
"""
import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

_PNG_END = b'IEND\xaeB`\x82'  # The name of the last chunk, and its checksum.
_JPEG_SCAN, _JPEG_END = b'\xff\xda', b'\xff\xd9'  # The markers of a scan of pixels, and of the end.


class BadImageError(ValueError):
  """An image that cannot be decoded; the message is the reason."""


class EncodedImage(NamedTuple):
  """An image file in memory: its bytes, 'jpeg' or 'png', and its size in pixels."""
  encoded: bytes
  format: str
  height: int
  width: int


def load_plugins():
  """Load all of Pillow's formats, as threads that need a new one at the same time would race."""
  Image.init()


def encode_png(pixels):
  """Encode a uint8 array [height, width] (grey) or [height, width, 3] (RGB) as PNG."""
  return _to_png(Image.fromarray(pixels))


def standardize(content):
  """Return the EncodedImage of an image.

  Args:
    content: bytes of an image file of any format that Pillow reads, or a uint8
      array [height, width] or [height, width, 3].

  Raises:
    BadImageError: it cannot be decoded completely.
  """
  if isinstance(content, np.ndarray):
    return encode_png(content)
  if not content:
    raise BadImageError('the file is empty')
  try:
    with Image.open(io.BytesIO(content)) as image:
      image.load()
      return _standardize(image, content)
  except UnidentifiedImageError:
    raise BadImageError('not an image') from None
  except MemoryError:
    raise
  # Pillow's plugins raise nearly any exception for damaged files.
  except Exception as error:
    raise BadImageError(' '.join(str(error).split()) or type(error).__name__) from None


def _standardize(image, content):
  # MPO is a JPEG file with more pictures after the first.
  if image.format in ('JPEG', 'MPO') and image.mode in ('RGB', 'L') and _is_whole_jpeg(content):
    return EncodedImage(content, 'jpeg', image.height, image.width)
  if image.format == 'PNG' and _is_plain_png(image, content):
    return EncodedImage(content, 'png', image.height, image.width)
  return _to_png(_to_rgb(image))


def _is_whole_jpeg(content):
  """Return whether a JPEG has its end marker.

  Without it, Pillow may decode all pixels where TensorFlow cannot.
  """
  return _JPEG_END in content[content.rfind(_JPEG_SCAN):]


def _is_plain_png(image, content):
  """Return whether a PNG is whole, grey or RGB, with 8 bits and no transparent colour."""
  bit_depth = content[24]  # 8 bytes signature, 8 bytes chunk header, width, height, depth
  return (image.mode in ('RGB', 'L') and bit_depth == 8 and 'transparency' not in image.info
          and _is_whole_png(content))


def _is_whole_png(content):
  """Return whether a PNG has its end and the right checksums.

  Pillow may decode all pixels of others, which TensorFlow would refuse.
  """
  try:
    with Image.open(io.BytesIO(content)) as image:
      image.verify()
  except (OSError, SyntaxError):
    return False
  return _PNG_END in content


def _to_rgb(image):
  """Return `image` with 8-bit RGB pixels."""
  if image.mode == 'CMYK':
    # Pillow assumes that every CMYK JPEG is inverted; without Adobe's marker it is not.
    if image.format == 'JPEG' and 'adobe' not in image.info:
      image = ImageChops.invert(image)
    return image.convert('RGB')
  if image.mode.startswith('I;16') or (image.mode == 'I' and image.format == 'PNG'):
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert('RGB')
  if image.mode in ('I', 'F'):
    raise ValueError(f'pixels of 32 bits (mode {image.mode}) have no known range')
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    return Image.alpha_composite(white, image).convert('RGB')
  return image.convert('RGB')


def _to_png(image):
  buffer = io.BytesIO()
  # A new image, so that no metadata gets into the file.
  Image.fromarray(np.asarray(image)).save(buffer, 'png')
  return EncodedImage(buffer.getvalue(), 'png', image.height, image.width)
