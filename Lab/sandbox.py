"""A place where the lab can do no harm: private network, processes and mounts that end together with the lab.

`enclosed(work)` runs `work()` in a child that is PID 1 of a process namespace of its own. When that child ends, however
it ends, the kernel kills every process in it, and with the last process the network and mount namespaces go too: bridges,
taps, nodes and files need no clean-up code that could be skipped.
"""

import ctypes
import os
import signal
import subprocess
import sys

WORK = "/var/tmp"  # exists everywhere; inside the sandbox a tmpfs of our own lies over it
# What the nodes have below their own files: this machine's tree, or that of another Debian release (VPNHA_ROOT=build/trixie, which
# Tests/Bed/release makes); the kernel stays the same.
RELEASE = os.environ.get("VPNHA_ROOT")
ROOT = f"{WORK}/tree" if RELEASE else "/"

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Interrupted(Exception):
    """The lab was asked to stop (Ctrl-C, SIGTERM)."""


def _checked(result, doing):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{doing}: {os.strerror(number)}")


def mount(source, target, kind=None, flags=0, options=None):
    arguments = [text.encode() if text else None for text in (source, target, kind)]
    _checked(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() if options else None), f"mounting {target}")


def bind(source, target):
    mount(source, target, flags=_MS_BIND)


def leave_mounts():
    """Gives the calling process a mount namespace of its own (for use between fork and exec)."""
    _checked(_libc.unshare(_CLONE_NEWNS), "unshare")
    mount(None, "/", flags=_MS_REC | _MS_PRIVATE)


def _enter():
    mount(None, "/", flags=_MS_REC | _MS_PRIVATE)
    mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV)
    mount("lab", WORK, "tmpfs", _MS_NODEV, "mode=755,size=2g")
    if RELEASE:
        for folder in (ROOT, f"{WORK}/disk/usr/lib/uml", f"{WORK}/overlay"):
            os.makedirs(folder)
        mount("overlay", ROOT, "overlay", 0, f"lowerdir={os.path.realpath(RELEASE)},upperdir={WORK}/disk,workdir={WORK}/overlay")
        bind(WORK, f"{ROOT}/var/tmp")
        bind("/usr/lib/uml", f"{ROOT}/usr/lib/uml")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _interrupt(number, frame):
    for ours in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ours, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def enclosed(work):
    """Runs work() in the sandbox and returns its exit status; 128+n when signal n ended it, as a shell would say."""
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    _checked(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET), "making namespaces")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)), "prctl")
            for number in stopping:
                signal.signal(number, _interrupt)
            _enter()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
            status = work()
        except Interrupted as why:
            print(f"lab: stopped by {why}", file=sys.stderr)
            status = 128 + signal.Signals[str(why)]
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    # Ctrl-C reaches the whole foreground group, a plain kill only us: whatever reaches us is passed on, once.
    for number in stopping:
        signal.signal(number, lambda number, frame: _pass_on(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
    while True:
        try:
            _, ended = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(ended) if os.WIFEXITED(ended) else 128 + os.WTERMSIG(ended)
        except InterruptedError:
            continue


def _pass_on(child, number):
    try:
        os.kill(child, number)
    except ProcessLookupError:
        pass
