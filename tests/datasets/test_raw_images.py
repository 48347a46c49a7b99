import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from images.datasets import raw_images
from images.utils.tf1 import tf
from tests.datasets import make_data
from tests.datasets.make_data import image_bytes, pixels

RGB, GREY = pixels(6, 9, 3), pixels(6, 9)


def as_png(content):
  """Return the pixels that training sees, and check that they were stored as RGB PNG."""
  image = raw_images.standardize(content)
  stored = Image.open(io.BytesIO(image.encoded))
  assert (image.format, stored.format, stored.mode) == ('png', 'PNG', 'RGB')
  assert image.encoded[24] == 8  # bits
  assert (image.height, image.width) == (stored.height, stored.width)
  return make_data.decode_by_tensorflow(image.encoded)


def sixteen_bit_rgb_png(values):
  """Return a PNG file of a uint16 array [height, width, 3], which Pillow cannot write."""
  def chunk(kind, data):
    return (struct.pack('>I', len(data)) + kind + data
            + struct.pack('>I', zlib.crc32(kind + data)))
  height, width, _ = values.shape
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  header = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
  return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows))
          + chunk(b'IEND', b''))


@pytest.mark.parametrize('content', [
    image_bytes(RGB, 'jpeg'), image_bytes(RGB, 'jpeg', progressive=True), image_bytes(RGB, 'png'),
    image_bytes(GREY, 'jpeg'), image_bytes(GREY, 'png')])
def test_what_tensorflow_reads_is_kept_as_it_is(content):
  image = raw_images.standardize(content)
  image_format = 'png' if content.startswith(b'\x89PNG') else 'jpeg'
  assert image == (content, image_format, 6, 9)
  np.testing.assert_array_equal(make_data.decode_by_tensorflow(content),
                                make_data.decode(content))


def test_a_jpeg_without_its_end_is_stored_anew(monkeypatch):
  """Of a few Pillow has all pixels, here of all; TensorFlow refuses them, but for a crop."""
  monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
  content = image_bytes(RGB, 'jpeg')
  assert content.endswith(b'\xff\xd9')
  thumbnail = content[:2] + b'\xff\xfe\x00\x04\xff\xd9' + content[2:]  # It has an end of its own.
  for whole in (content, thumbnail):
    np.testing.assert_array_equal(as_png(whole[:-2]), make_data.decode(content))
  followed = content + b'more than an end'
  assert raw_images.standardize(followed).encoded == followed


@pytest.mark.parametrize('array', [RGB, GREY])
def test_arrays_become_png(array):
  image = raw_images.standardize(array)
  assert (image.format, image.height, image.width) == ('png', 6, 9)
  expected = array if array.ndim == 3 else np.stack([array] * 3, -1)
  np.testing.assert_array_equal(make_data.decode_by_tensorflow(image.encoded), expected)


@pytest.mark.parametrize('image_format', ['bmp', 'tiff', 'ppm'])
def test_other_formats_keep_their_pixels(image_format):
  np.testing.assert_array_equal(as_png(image_bytes(RGB, image_format)), RGB)


def test_a_palette_is_looked_up():
  image = Image.fromarray(GREY % 4, 'P')
  palette = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)]
  image.putpalette([value for colour in palette for value in colour])
  np.testing.assert_array_equal(as_png(image_bytes(image)), np.uint8(palette)[GREY % 4])


def test_one_bit_becomes_black_and_white():
  expected = np.stack([np.where(GREY > 127, 255, 0)] * 3, -1)
  np.testing.assert_array_equal(as_png(image_bytes(Image.fromarray(GREY > 127))), expected)


@pytest.mark.parametrize('image_format', ['png', 'tiff'])
def test_16_bit_grey_keeps_the_upper_8(image_format):
  values = np.arange(54, dtype=np.uint16).reshape(6, 9) * 1201
  expected = np.stack([(values // 256).astype(np.uint8)] * 3, -1)
  content = image_bytes(Image.fromarray(values), image_format)
  np.testing.assert_array_equal(as_png(content), expected)


def test_16_bit_rgb_keeps_the_upper_8():
  values = np.random.default_rng(0).integers(0, 1 << 16, (6, 9, 3)).astype(np.uint16)
  np.testing.assert_array_equal(as_png(sixteen_bit_rgb_png(values)), values // 256)


WHOLE = image_bytes(pixels(6, 9, 3), 'png')


@pytest.mark.parametrize('content', [
    WHOLE[:-1], WHOLE[:-8], WHOLE[:-12],
    WHOLE[:-13] + bytes([WHOLE[-13] ^ 1]) + WHOLE[-12:]])  # The last byte of a checksum.
def test_a_png_with_all_pixels_but_not_its_end_or_checksum_is_made_whole(content):
  with pytest.raises(tf.errors.InvalidArgumentError):
    make_data.decode_by_tensorflow(content)
  np.testing.assert_array_equal(as_png(content), pixels(6, 9, 3))


def test_transparency_is_laid_on_white():
  rgba = np.zeros((1, 3, 4), np.uint8)
  rgba[0] = [[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]
  np.testing.assert_array_equal(as_png(image_bytes(rgba)),
                                [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]])


def test_a_transparent_colour_is_laid_on_white():
  grey_alpha = np.uint8([[[7, 255], [7, 0]]])
  np.testing.assert_array_equal(as_png(image_bytes(Image.fromarray(grey_alpha, 'LA'))),
                                [[[7] * 3, [255] * 3]])
  rgb = np.uint8([[[1, 2, 3], [4, 5, 6]]])
  np.testing.assert_array_equal(as_png(image_bytes(rgb, transparency=(4, 5, 6))),
                                [[[1, 2, 3], [255] * 3]])


def test_the_first_frame_of_an_animation():
  frames = [Image.new('RGB', (9, 6), colour) for colour in ('red', 'blue')]
  content = image_bytes(frames[0], 'gif', save_all=True, append_images=frames[1:])
  np.testing.assert_array_equal(as_png(content), np.full((6, 9, 3), [255, 0, 0]))


def test_orientation_is_not_applied():
  exif = Image.Exif()
  exif[0x0112] = 6  # turn by 90 degrees
  assert raw_images.standardize(image_bytes(RGB, 'jpeg', exif=exif))[2:] == (6, 9)
  content = image_bytes(RGB, 'webp', exif=exif, lossless=True)
  np.testing.assert_array_equal(as_png(content), RGB)


def cmyk_jpeg(cmyk):
  """Return a JPEG file of one CMYK colour as Pillow writes it: inverted, with Adobe's marker."""
  return image_bytes(Image.new('CMYK', (16, 16), cmyk), 'jpeg', quality=100)


def without_adobe_marker(content):
  start = content.index(b'\xff\xee')
  length = struct.unpack('>H', content[start + 2:start + 4])[0]
  return content[:start] + content[start + 2 + length:]


@pytest.mark.parametrize('cmyk', [(0, 0, 0, 0), (0, 255, 255, 0), (200, 100, 50, 25)])
def test_cmyk_is_multiplied_out(cmyk):
  colour = [(255 - ink) * (255 - cmyk[3]) / 255 for ink in cmyk[:3]]
  np.testing.assert_allclose(as_png(cmyk_jpeg(cmyk)), np.full((16, 16, 3), colour), atol=2)


def test_cmyk_without_adobe_marker_is_not_inverted():
  # The stored bytes are 255 minus the inks above; read as they are, they are the inks.
  inks = (55, 155, 205, 25)
  content = without_adobe_marker(cmyk_jpeg(tuple(255 - ink for ink in inks)))
  colour = [(255 - ink) * (255 - inks[3]) / 255 for ink in inks[:3]]
  np.testing.assert_allclose(as_png(content), np.full((16, 16, 3), colour), atol=2)
  np.testing.assert_allclose(make_data.decode_by_tensorflow(content), as_png(content), atol=2)


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', 'the file is empty'),
    (b'hello', 'not an image'),
    (image_bytes(pixels(64, 64, 3), 'jpeg')[:-500], 'truncated'),
    (image_bytes(pixels(64, 64, 3), 'png')[:-500], 'truncated'),
    (image_bytes(pixels(64, 64, 3), 'png')[:20], 'not an image|truncated|Truncated'),
    (image_bytes(Image.new('F', (2, 2)), 'tiff'), 'no known range'),
])
def test_bad_images(content, reason):
  with pytest.raises(raw_images.BadImageError, match=reason):
    raw_images.standardize(content)
