"""Parses and serializes a JSON document that lies beside the code."""

import json
import os
import time
import zlib

FOLDER = os.path.dirname(os.path.abspath(__file__))


def handler(event, context):
    key = os.path.basename(event.get("input_object_key", "gdp.json"))
    with open(os.path.join(FOLDER, key), encoding="utf-8") as file:
        text = file.read()
    began = time.time()
    document = json.loads(text)
    again = json.dumps(document)
    ended = time.time()
    return {
        "records": len(document),
        "bytes": len(again),
        "crc32": zlib.crc32(again.encode()),
        "began": began,
        "ended": ended,
    }
