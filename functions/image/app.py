"""Rotates a picture that lies beside the code by 90, 180 and 270 degrees."""

import io
import os
import time
import zlib

from PIL import Image

FOLDER = os.path.dirname(os.path.abspath(__file__))
TURNS = {
    "90": Image.Transpose.ROTATE_90,
    "180": Image.Transpose.ROTATE_180,
    "270": Image.Transpose.ROTATE_270,
}

# Loads the usual formats now, not when the first picture is opened.
Image.preinit()


def rotate(data):
    """JPEG files of the picture in the JPEG file `data`, by angle, counter-clockwise."""
    turned = {}
    with Image.open(io.BytesIO(data)) as picture:
        for angle, method in TURNS.items():
            output = io.BytesIO()
            picture.transpose(method).save(output, "JPEG")
            turned[angle] = output.getvalue()
    return turned


def describe(key, data):
    """What a test can check: the size, and the colour of the pixel at the top left."""
    with Image.open(io.BytesIO(data)) as picture:
        size, corner = picture.size, picture.getpixel((0, 0))
    return {"key": key, "bytes": len(data), "crc32": zlib.crc32(data), "size": size, "corner": corner}


def handler(event, context):
    key = os.path.basename(event.get("input_object_key", "100kb.jpg"))
    prefix = event.get("output_object_key_prefix", "outputimg-")
    with open(os.path.join(FOLDER, key), "rb") as file:
        data = file.read()
    began = time.time()
    turned = rotate(data)
    ended = time.time()
    outputs = [describe(f"{prefix}{angle}-{key}", jpeg) for angle, jpeg in turned.items()]
    return {"outputs": outputs, "began": began, "ended": ended}
