"""Takes memory when it is told to, says what touching it cost, and checks what it has written.

Each call names in `do` what to do; the answer has `wrong`, the bytes that are not as they were
written in all areas that the process keeps.
"""

import mmap
import os
import random
import time

PAGE = 4096
CHUNK = 1 << 20

# Areas that are touched, one byte in each page, and areas that are filled as a whole.
touched = []
filled = []


def area_of(mib):
    return mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def timed(write):
    began = time.perf_counter()
    write()
    return (time.perf_counter() - began) * 1000


def touch(mib, seed):
    """The first touch of each page of new memory."""
    area = area_of(mib)
    # No zeros: they would hide a page that was lost.
    marks = bytes(byte | 1 for byte in random.Random(seed).randbytes(len(area) // PAGE))
    touched.append((area, marks))
    return timed(lambda: area.__setitem__(slice(None, None, PAGE), marks))


def again():
    """The same once more: what is left of its time has nothing to do with memory that is new."""
    area, marks = touched[-1]
    return timed(lambda: area.__setitem__(slice(None, None, PAGE), marks))


def chunks(area, seed):
    """Every chunk of an area with what belongs there; no two chunks are alike."""
    base = random.Random(seed).randbytes(CHUNK)
    for at in range(0, len(area), CHUNK):
        turn = at // CHUNK * 4099 % CHUNK
        yield at, base[turn:] + base[:turn]


def fill(mib, seed):
    area = area_of(mib)
    for at, expected in chunks(area, seed):
        area[at : at + CHUNK] = expected
    filled.append((area, seed))


def differing(found, expected):
    if found == expected:
        return 0
    return sum(a != b for a, b in zip(found, expected))


def wrong():
    count = sum(differing(area[::PAGE], marks) for area, marks in touched)
    for area, seed in filled:
        for at, expected in chunks(area, seed):
            count += differing(area[at : at + CHUNK], expected)
    return count


def drop():
    for area, _ in touched + filled:
        area.close()
    touched.clear()
    filled.clear()


def read_files(mib):
    """Has so much of the interpreter's own files cached."""
    left = mib << 20
    for folder, _, names in os.walk("/usr/lib"):
        for name in names:
            path = os.path.join(folder, name)
            if left <= 0 or os.path.islink(path):
                continue
            with open(path, "rb") as file:
                left -= len(file.read(left))


def busy_ms():
    """Time that the guest's processors have worked: proc_stat(5)."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) * 1000 / os.sysconf("SC_CLK_TCK")


def handler(event, context):
    do = event["do"]
    answer = {}
    if do == "busy":
        return {"busyMs": busy_ms()}
    if do == "exit":
        os._exit(3)
    if do in ("renew", "drop"):
        # What was kept until now is checked before it goes.
        answer["wrong"] = wrong()
        drop()
    if do == "touch":
        answer["ms"] = touch(event["mib"], event.get("seed", 0))
    elif do == "again":
        answer["ms"] = again()
    elif do in ("fill", "renew"):
        fill(event["mib"], event.get("seed", 0))
    elif do == "read":
        read_files(event["mib"])
    elif do not in ("check", "drop"):
        raise ValueError(f"do what? {do}")
    if event.get("check", True):
        answer["wrong"] = answer.get("wrong", 0) + wrong()
    answer["kept"] = sum(len(area) for area, _ in touched + filled)
    return answer
