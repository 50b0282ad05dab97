"""Stands for ssh where no computer lets us in without a password: runs the command in another home and temp folder.

    python ssh_stand_in.py FOLDER -T -o ... -- user@host COMMAND

As with ssh, the command is for a shell over there, which is no child of this process: whoever kills this one breaks the
connection, and the command sees the end of its pipe. The user ``nobody`` is refused as by ssh.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent


def stand_in(folder):
    """Writes a program that takes the arguments of ssh; the other end's files are in ``folder / "there"``, its
    temporary ones in ``tmp-HOST`` there."""
    there = folder / "there"
    there.mkdir()
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{there}" "$@"\n')
    program.chmod(0o755)
    return program


def main(there, *arguments):
    host, command = arguments[arguments.index("--") + 1:]
    if host.startswith("nobody@"):
        print(f"{host}: Permission denied (publickey).", file=sys.stderr)
        return 255
    modules = os.pathsep.join([str(HERE.parents[1] / "KAFSegmentation"), str(HERE)])
    temporary = Path(there, f"tmp-{host}")
    temporary.mkdir(exist_ok=True)
    places = {"HOME": there, "TMPDIR": str(temporary), "XDG_DATA_HOME": f"{there}/data", "XDG_CACHE_HOME": there,
              "XDG_STATE_HOME": there, "PYTHONPATH": modules}
    print("Welcome to the other computer", flush=True)  # as login scripts do
    return over_there(lambda: subprocess.run(["sh", "-c", command], env={**os.environ, **places}, cwd=there,
                                             check=False).returncode)


def over_there(run):
    """Calls ``run`` in a process that is nobody's child, at the other end of two pipes; returns what it returned."""
    (to_read, to_write), (from_read, from_write), (code_read, code_write) = os.pipe(), os.pipe(), os.pipe()
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork() == 0:
            os.dup2(to_read, 0)
            os.dup2(from_write, 1)
            for end in (to_read, to_write, from_read, from_write, code_read):
                os.close(end)
            os.write(code_write, b"%d" % run())
        os._exit(0)
    os.waitpid(first, 0)
    for end in (to_read, from_write, code_write):
        os.close(end)
    threading.Thread(target=pass_on, args=(0, to_write), daemon=True).start()
    pass_on(from_read, 1)
    return int(os.read(code_read, 10) or 255)


def pass_on(source, target):
    try:
        while content := os.read(source, 1 << 16):
            while content:
                content = content[os.write(target, content):]
    except OSError:
        pass  # the reader is gone
    os.close(target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
