"""Multiplies two random matrices of n by n numbers."""

import time

import numpy
from numpy import random


def handler(event, context):
    n = int(event.get("n", 1100))
    a = random.rand(n, n)
    b = random.rand(n, n)
    began = time.time()
    c = numpy.matmul(a, b)
    ended = time.time()
    # What the product does to a vector tells whether it is one, without multiplying again.
    vector = random.rand(n)
    error = numpy.abs(c @ vector - a @ (b @ vector)).max() / n
    return {"n": n, "mean": c.mean(), "error": error, "began": began, "ended": ended}
