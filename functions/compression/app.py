"""Zips a file that lies beside the code."""

import io
import os
import time
import zipfile
import zlib

FOLDER = os.path.dirname(os.path.abspath(__file__))


def handler(event, context):
    key = os.path.basename(event.get("input_object_key", "gdp.json"))
    with open(os.path.join(FOLDER, key), "rb") as file:
        data = file.read()
    archive = io.BytesIO()
    began = time.time()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        # Named by an entry, not by a name alone: the entry has a fixed time, the name today's.
        entry = zipfile.ZipInfo(key)
        entry.compress_type = zipfile.ZIP_DEFLATED
        writer.writestr(entry, data)
    ended = time.time()
    with zipfile.ZipFile(archive) as reader:
        unzipped = reader.read(key)
    return {
        "output_object_key": event.get("output_object_key", "compressed.zip"),
        "bytes": len(archive.getvalue()),
        "crc32": zlib.crc32(archive.getvalue()),
        "unzipped_crc32": zlib.crc32(unzipped),
        "began": began,
        "ended": ended,
    }
