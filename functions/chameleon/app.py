"""Renders an HTML table from a page template."""

import time
import zlib

from chameleon import PageTemplate

TEMPLATE = """<table>
<tr tal:repeat="row table">
<td tal:repeat="number row"><span class="column-${number}" tal:content="number + 1"/></td>
</tr>
</table>
"""


def handler(event, context):
    rows = int(event.get("num_of_rows", 100))
    columns = int(event.get("num_of_cols", 300))
    began = time.time()
    template = PageTemplate(TEMPLATE)
    page = template.render(table=[range(columns)] * rows)
    ended = time.time()
    return {
        "cells": page.count("<td>"),
        "bytes": len(page),
        "crc32": zlib.crc32(page.encode()),
        "began": began,
        "ended": ended,
    }
