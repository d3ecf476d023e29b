"""The smallest function: what is left is what the platform itself costs."""

import time


def handler(event, context):
    began = time.time()
    name = event.get("name", "World") if isinstance(event, dict) else "World"
    return {"message": f"Hello, {name}!", "began": began, "ended": time.time()}
