"""Encrypts and decrypts a random message with AES in counter mode, in pure Python."""

import os
import time

import pyaes

KEY = b"sparkler's key: "
BLOCK_BYTES = 16


def handler(event, context):
    length = int(event.get("length_of_message", 20000))
    iterations = int(event.get("num_of_iterations", 1))
    message = os.urandom(length)
    secret = plain = b""
    began = time.time()
    for _ in range(iterations):
        # A new object counts from 1 again.
        secret = pyaes.AESModeOfOperationCTR(KEY).encrypt(message)
        plain = pyaes.AESModeOfOperationCTR(KEY).decrypt(secret)
    ended = time.time()
    return {
        "length": len(secret),
        "iterations": iterations,
        "restored": plain == message,
        "message": message[-BLOCK_BYTES:].hex(),
        "secret": secret[-BLOCK_BYTES:].hex(),
        "began": began,
        "ended": ended,
    }
