"""Runs commands and is the parent of what they leave running; ends all of it when its stdin ends.

Each line of stdin is a JSON array, a program and its arguments. It runs with descriptor 3 as its
stdin. When it has ended, a JSON array answers on stdout: its exit status and what it said. SIGTERM
ends everything at once, also the command.

A detached sandbox would belong to process 1, which on some machines collects the dead seconds
late, and `runsc delete` waits for that. Here it belongs to this process, as it would to
containerd's shim.
"""

import ctypes
import json
import os
import signal
import sys
import tempfile

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
CHANNEL = 3
MAX_OUTPUT_BYTES = 4000


def run(command):
    """The exit status (as in a shell, 128 and the signal's number after a signal), and the output."""
    # A file and no socket: gVisor shuts a socket down for all when a container closes it.
    with tempfile.TemporaryFile() as output:
        streams = [(os.POSIX_SPAWN_DUP2, output.fileno(), fd) for fd in (1, 2)]
        streams += [(os.POSIX_SPAWN_DUP2, CHANNEL, 0), (os.POSIX_SPAWN_CLOSE, CHANNEL)]
        try:
            pid = os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
        except OSError as error:
            return 127, f"{command[0]}: {error.strerror}"
        code = wait_for(pid)
        return code if code >= 0 else 128 - code, tail(output)


def wait_for(pid):
    while True:
        ended, status = os.wait()  # whatever else ends meanwhile is collected, too
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def tail(file):
    size = os.fstat(file.fileno()).st_size
    # Not read(): the position is the command's, too.
    text = os.pread(file.fileno(), MAX_OUTPUT_BYTES, max(0, size - MAX_OUTPUT_BYTES))
    return text.decode(errors="replace").strip()


def children():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", errors="replace") as stat:
                # The name before it may hold anything, also spaces and brackets.
                parent = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        if parent == os.getpid():
            yield int(pid)


def finish(*_):
    # A command may still run, and never end by itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.wait()  # its children are ours now
        except ChildProcessError:
            os._exit(0)


os.set_inheritable(CHANNEL, False)
if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit("keeper: prctl failed")
signal.signal(signal.SIGTERM, finish)
try:
    print(json.dumps([0, "ready"]), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
finally:
    finish()  # also when nobody reads the answer any more
