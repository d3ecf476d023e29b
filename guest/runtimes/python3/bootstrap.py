"""The Python runtime: loads a handler, then answers the agent's frames (docs/protocol/guest-channel.md).

Descriptor 3 is the agent, 4 takes stack traces. Only modules built into the interpreter are
imported before the handler's own: importing `json` and `os` alone costs a cold start in software
emulation half a second. What is rare (errors, above all) imports what it needs when it happens.
"""

import faulthandler
import gc
import posix
import sys
import time

from _collections import deque
from _functools import partial
# The C halves of the json module; its Python half drags in `re` and `enum`.
from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner
from _operator import call

AGENT, STACKS = 3, 4
SIGUSR2, SIGSTOP = 12, 19
HEADER_BYTES = 12
READ_BYTES = 16384
MAX_READ_BYTES = 1 << 20
MAX_RESULT_BYTES = 6 << 20
MAX_MESSAGE, MAX_STACK = 64 << 10, 256 << 10  # characters
WARM_UP_ROUNDS = 8
SPACE = " \t\n\r"


# ---- JSON ----


class _Scanner:
    """What json.decoder.JSONDecoder is to make_scanner."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.__getitem__
    memo = {}


_scan = make_scanner(_Scanner)


def _loads(raw):
    text = str(raw, "utf-8").strip(SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    if end != len(text):
        import json

        return json.loads(text)  # raises the error with its position
    return value


def _refuse(value):
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


_seen = {}
# markers, default, string encoder, indent, separators, sort_keys, skipkeys, allow_nan
_encode = make_encoder(_seen, _refuse, encode_basestring, None, ": ", ", ", False, False, False)
_encode_ascii = make_encoder(_seen, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)


def _dumps(value):
    try:
        return "".join(_encode(value, 0)).encode()
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8, but an escape
        return "".join(_encode_ascii(value, 0)).encode()
    finally:
        _seen.clear()


# ---- frames ----

_left = bytearray()


def _read_frame():
    """Waits for one whole frame."""
    global _left
    data = _left
    size = HEADER_BYTES
    while True:
        if len(data) >= HEADER_BYTES:
            size = HEADER_BYTES + int.from_bytes(data[:4], "little")
            if len(data) >= size:
                break
        more = posix.read(AGENT, min(max(READ_BYTES, size - len(data)), MAX_READ_BYTES))
        if not more:
            posix._exit(0)  # the agent is gone
        data += more
    _left = data[size:]
    del data[size:]
    return data


def _frame(kind, request, *parts):
    length = 0
    for part in parts:
        length += len(part)
    return b"".join((length.to_bytes(4, "little"), kind, b"\0\0\0", request, *parts))


def _write(frame):
    done = posix.write(AGENT, frame)
    while done < len(frame):
        done += posix.write(AGENT, memoryview(frame)[done:])


READY, FAILED, RESULT, ERROR = b"\x82", b"\x83", b"\x84", b"\x85"
RESEEDED, PREPARED, FORKED = b"\xa0", b"\xa1", b"\xa2"
INVOKE, RESEED, PREPARE, FORK, BEGIN = 0x02, 0x20, 0x21, 0x22, 0x23
NO_REQUEST = b"\0\0\0\0"


# ---- errors ----


def _is_ours(code):
    return code.co_filename == _OUR_FILE or code.co_filename.startswith("<frozen importlib")


_OUR_FILE = _read_frame.__code__.co_filename


def _describe(error):
    """The error as the host shows it; the stack begins where the function's own code does."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code):
        trace = trace.tb_next
    try:
        import traceback

        stack = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as failure:
        stack = f"(no stack: {type(failure).__name__})"
    try:
        message = str(error)
    except BaseException as failure:
        message = f"(no message: {type(failure).__name__})"
    return {
        "errorType": type(error).__name__,
        "message": message[:MAX_MESSAGE],
        "stack": stack[:MAX_STACK],
    }


def _error(request, kind, error, ns):
    if isinstance(error, dict):
        payload = error
    else:
        payload = _describe(error)
    return _frame(ERROR, request, _dumps({**payload, "kind": kind, "handlerNs": ns}))


# ---- invocations ----


class _Context:
    """What a handler gets beside its event, as on AWS Lambda."""

    function_version = "$LATEST"
    identity = client_context = None

    def __init__(self, raw):
        values = _loads(raw)
        self.aws_request_id = values["requestId"]
        self.function_name = values["functionName"]
        self.memory_limit_in_mb = str(values["memoryMiB"])
        self.invoked_function_arn = "arn:aws:lambda:local:000000000000:function:" + self.function_name
        self.log_group_name = "/aws/lambda/" + self.function_name
        self.log_stream_name = "sparkler"
        self._deadline_ms = values["deadlineMs"]

    def get_remaining_time_in_millis(self):
        return max(0, int(self._deadline_ms - time.time() * 1000))


def _exit(code):
    """What sys.exit() means: the process ends now, whatever other threads do."""
    try:
        if code is None:
            code = 0
        elif not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
        import atexit

        atexit._run_exitfuncs()
        _flush()
    finally:
        posix._exit(code & 0xFF if isinstance(code, int) else 1)


def _flush():
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, ValueError, OSError):
        pass  # replaced or closed by the function: nothing to flush


def _answer(frame, handler):
    """The handler's time is the call alone: neither reading its event nor writing its result."""
    request = bytes(frame[8:12])
    split = 16 + int.from_bytes(frame[12:16], "little")
    try:
        context = _Context(frame[16:split])
        event = _loads(frame[split:])
    except (ValueError, RecursionError) as error:
        return _error(request, "handler", error, 0)
    clock = time.perf_counter_ns
    started = clock()
    try:
        value = handler(event, context)
        ns = clock() - started
    except SystemExit as error:
        _exit(error.code)
    except BaseException as error:
        return _error(request, "handler", error, clock() - started)
    finally:
        _flush()
    try:
        result = _dumps(value)
    except (TypeError, ValueError, RecursionError, MemoryError) as error:
        message = f"What the handler returned is not JSON: {error}"
        shown = {"errorType": "Runtime.MarshalError", "message": message, "stack": ""}
        return _error(request, "result", shown, ns)
    if len(result) > MAX_RESULT_BYTES:
        message = f"The result is {len(result)} bytes of JSON; at most {MAX_RESULT_BYTES} are allowed."
        shown = {"errorType": "Runtime.ResultTooLarge", "message": message, "stack": ""}
        return _error(request, "size", shown, ns)
    return _frame(RESULT, request, ns.to_bytes(8, "little"), result)


# ---- around a snapshot ----
#
# What reseeds is a list of steps: C functions with their arguments, which C code calls one after
# the other. Between two of them the interpreter runs no bytecode, so it cannot give its lock (the
# GIL) to another thread, and none of these functions gives it away: posix.getrandom does not.


def _chain(first, *rest):
    """A step: `rest` called on what `first` yields, one on the result of the other, when it is run."""
    values = map(call, (first,))
    for function in rest:
        values = map(function, values)
    return partial(next, values)


def _random_steps(random):
    inst = random._inst
    yield _chain(partial(posix.getrandom, 64), int.from_bytes, partial(random._random.Random.seed, inst))
    yield partial(setattr, inst, "gauss_next", None)


def _uuid_steps(uuid):
    yield _chain(partial(posix.getrandom, 6), int.from_bytes, (1 << 40).__or__, partial(setattr, uuid, "_node"))
    yield partial(setattr, uuid, "_last_timestamp", None)
    yield partial(setattr, uuid, "_generate_time_safe", None)


def _tempfile_steps(tempfile):
    yield partial(setattr, tempfile, "_name_sequence", None)


def _ssl_steps(ssl):
    yield partial(next, map(ssl.RAND_add, map(posix.getrandom, (32,)), (32.0,)))


_STEPS = (("random", _random_steps), ("uuid", _uuid_steps), ("tempfile", _tempfile_steps), ("_ssl", _ssl_steps))
_OTHERS = ("numpy.random", "torch.random")


def _not_reseeded(name, error):
    print(f"sparkler: {name} was not reseeded: {error}", file=sys.stderr)


def _steps():
    steps = []
    for name, steps_of in _STEPS:
        if name in sys.modules:
            try:
                steps += steps_of(sys.modules[name])
            except Exception as error:  # a module of the function's own under this name
                _not_reseeded(name, error)
    return steps


def _run(steps):
    deque(map(call, steps), 0)


def _reseed():
    """Drops all that was drawn before the snapshot, so that its clones draw differently."""
    _run(_steps())


def _reseed_others():
    """Those whose own code is Python: a thread that does not wait may draw from them before."""
    for name in _OTHERS:
        if name in sys.modules:
            try:
                sys.modules[name].seed()
            except Exception as error:
                _not_reseeded(name, error)


def _hold_still(prepared):
    """
    Stops this process while this thread has the GIL, so that no other thread runs Python code
    between the process's continuation and its reseeding. True when it is reseeded.
    """
    try:
        stop = partial(posix.write, AGENT, prepared), partial(posix.kill, posix.getpid(), SIGSTOP)
        _run((*stop, *_steps()))
        return True
    except Exception as error:
        _not_reseeded("at once, this process", error)
        return False


# ---- the handler ----


class _NotFound(Exception):
    pass


def _listing(folder):
    try:
        names = sorted(e.name + ("/" if e.is_dir() else "") for e in posix.scandir(folder))
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}."
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{folder} holds: {shown}." if names else f"{folder} is empty."


def _load(handler, root):
    path, dot, name = handler.rpartition(".")
    module_name = path.replace("/", ".").strip(".")
    if not dot or not module_name or not name:
        raise _NotFound(f"The handler '{handler}' is not of the form file.function.")
    try:
        __import__(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != module_name and not module_name.startswith(missing + "."):
            raise
        raise _NotFound(f"The handler '{handler}' needs a module '{module_name}'. {_listing(root)}") from None
    module = sys.modules[module_name]
    function = getattr(module, name, None)
    where = getattr(module, "__file__", module_name)
    if function is None:
        own = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        found = f"It defines: {', '.join(own[:20])}." if own else "It defines no function."
        raise _NotFound(f"The handler '{handler}' needs a function '{name}' in {where}. {found}")
    if not callable(function):
        raise _NotFound(f"The handler '{handler}': '{name}' in {where} is not a function.")
    return function


def _fail(kind, error):
    _flush()
    payload = _describe(error) if kind == "handler" else {
        "errorType": "Runtime.HandlerNotFound", "message": str(error), "stack": ""
    }
    _write(_frame(FAILED, NO_REQUEST, _dumps({**payload, "kind": kind})))
    posix._exit(1)


_CONTEXT = b'{"requestId":"","functionName":"","memoryMiB":0,"deadlineMs":0}'
_REHEARSAL = _frame(
    b"\x02", NO_REQUEST, len(_CONTEXT).to_bytes(4, "little"), _CONTEXT, b'{"a":[1,2.5,"b",null]}'
)


def _rehearse():
    """Runs what an invocation runs, without the function's code."""
    _answer(bytearray(_REHEARSAL), lambda event, context: event)


def _reseeded(frame, fresh):
    """Answers RESEED. `fresh`: the steps have run already, when this process was continued."""
    if not fresh:
        _reseed()
    _reseed_others()
    # In emulation the code of an invocation must be translated anew after a restore. A VM that is
    # restored ahead of its first invocation has that behind it thereby.
    _rehearse()
    _write(_frame(RESEEDED, bytes(frame[8:12])))
    return False


def _warm_up():
    for _ in range(WARM_UP_ROUNDS):
        _rehearse()
    _reseed()
    _reseed_others()


def _prepare(root):
    faulthandler.enable(file=STACKS)
    faulthandler.register(SIGUSR2, file=STACKS, all_threads=True, chain=False)
    posix.set_inheritable(AGENT, False)
    posix.set_inheritable(STACKS, False)
    sys.stdout.reconfigure(line_buffering=True)
    # What `site` would have done, at a fraction of its cost.
    import builtins

    builtins.exit = builtins.quit = sys.exit
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    sys.path.insert(0, root)
    sys.path += [f"/usr/local/lib/python{version}/dist-packages", "/usr/lib/python3/dist-packages"]


# ---- a zygote ----

# In a module of another name: a fork beside threads of a library is no news for the function's log.
_fork = eval("lambda: fork()", {"fork": posix.fork, "__name__": "sparkler"})


def _can_fork():
    """Threads of Python's would be missing in what is forked; libraries restart their own."""
    import _thread

    return _thread._count() == 0


def _receive(channel, descriptors):
    """Waits for one whole frame; what descriptors come are appended."""
    global _left
    while len(_left) < HEADER_BYTES or len(_left) < HEADER_BYTES + int.from_bytes(_left[:4], "little"):
        data, control, _flags, _sender = channel.recvmsg(READ_BYTES, 64)
        if not data:
            posix._exit(0)  # the agent is gone
        for _level, _type, numbers in control:
            descriptors += [int.from_bytes(numbers[i : i + 4], "little") for i in range(0, len(numbers), 4)]
        _left += data
    size = HEADER_BYTES + int.from_bytes(_left[:4], "little")
    frame = _left[:size]
    del _left[:size]
    return frame


def _become_instance(descriptors):
    """The process that was forked: its own session, descriptors, cgroup and random numbers."""
    global _left
    posix.setsid()
    agent, log, stacks = descriptors
    posix.dup2(agent, AGENT, False)
    posix.dup2(log, 1)
    posix.dup2(log, 2)
    posix.dup2(stacks, STACKS, False)
    for descriptor in descriptors:
        posix.close(descriptor)
    _left = bytearray()
    _write(_frame(FORKED, NO_REQUEST))
    if _read_frame()[4] != BEGIN:  # the agent has moved it to its cgroup
        posix._exit(1)
    _reseed()
    _reseed_others()


def _fork_instance(descriptors):
    """
    True in the new instance. It is forked by a process that ends at once, so that it is the agent's
    child: an instance must not depend on the zygote.
    """
    between = _fork()
    if between > 0:
        for descriptor in descriptors:
            posix.close(descriptor)
        posix.waitpid(between, 0)
        return False
    try:
        if _fork() > 0:
            posix._exit(0)
        _become_instance(descriptors)
        return True
    except BaseException:
        posix._exit(1)


def _serve_as_zygote():
    """Forks an instance whenever the agent asks for one; returns in each of them."""
    from _socket import socket

    channel = socket(fileno=AGENT)
    fresh = False
    descriptors = []
    while True:
        frame = _receive(channel, descriptors)
        if frame[4] == FORK:
            passed = descriptors[:3]
            del descriptors[:3]
            if _fork_instance(passed):
                channel.detach()
                return
        elif frame[4] == RESEED:
            fresh = _reseeded(frame, fresh)
        elif frame[4] == PREPARE:
            fresh = _hold_still(_frame(PREPARED, bytes(frame[8:12])))


def _main():
    root = posix.environ[b"LAMBDA_TASK_ROOT"].decode()
    as_zygote = sys.argv[1:] == ["zygote"]
    del sys.argv[1:]
    _prepare(root)
    try:
        handler = _load(posix.environ[b"_HANDLER"].decode(), root)
    except _NotFound as error:
        _fail("not-found", error)
    except SystemExit as error:
        _exit(error.code)
    except BaseException as error:
        _fail("handler", error)
    _warm_up()
    _flush()
    gc.freeze()  # collections need not touch (and copy, after a restore) what was loaded by now
    if as_zygote and _can_fork():
        _write(_frame(READY, NO_REQUEST, b"\1"))
        _serve_as_zygote()
    _write(_frame(READY, NO_REQUEST))
    fresh = False  # reseeded since it stood still
    while True:
        frame = _read_frame()
        if frame[4] == INVOKE:
            _write(_answer(frame, handler))
        elif frame[4] == RESEED:
            fresh = _reseeded(frame, fresh)
        elif frame[4] == PREPARE:
            fresh = _hold_still(_frame(PREPARED, bytes(frame[8:12])))


_main()
