"""Programs of a virtual environment, each run in a fork of one process that has imported torch: none waits for it.

Only third-party packages are imported before the fork. artgan and its plugins are imported anew each time, and what pip
installed meanwhile is found.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_SERVER = """
import atexit, gc, importlib, json, os, runpy, select, site, socket, sys, sysconfig, threading, traceback

gc.disable()
for name in ("torch", "torch._dynamo", "torch.utils.tensorboard", "timm", "accelerate", "pytest"):
    importlib.import_module(name)
assert not any(name.startswith("artgan") for name in sys.modules)
sys.path.pop(0)  # the current folder, which `python -c` puts there
gc.freeze()  # or each fork would copy the memory that its garbage collection looks at
gc.enable()
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    if listener not in select.select([listener, 0], [], [])[0]:
        sys.exit()  # the tests have ended, however that came, and with them the other end of standard input
    connection, _ = listener.accept()
    child = os.fork()
    if not child:
        break
    with connection:
        connection.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

listener.close()
first, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
with connection.makefile("rb") as message:
    (program, *arguments), folder, environment = json.loads(first + message.read())
connection.close()
for number, descriptor in enumerate(descriptors):
    os.dup2(descriptor, number)
    os.close(descriptor)
sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", 1)
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
importlib.invalidate_caches()
site.addsitedir(sysconfig.get_path("purelib"))  # reads the .pth files of editable installs
status = 0
try:
    if program == "artgan":
        sys.argv = [os.path.join(sysconfig.get_path("scripts"), program), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")
    elif program == "pytest":
        sys.argv = [program, *arguments]
        sys.path.insert(0, folder)
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        option, code, *arguments = arguments
        assert option == "-c"
        sys.argv = [option, *arguments]
        sys.path.insert(0, "")
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
except SystemExit as end:
    status = end.code if isinstance(end.code, int) else int(end.code is not None)
except BaseException:
    traceback.print_exc()
    status = 1
# As multiprocessing ends its forks: taking torch's modules down would take longer than most commands.
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
os._exit(status)
"""

_CLIENT = """#!{python} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    message = json.dumps([[os.path.basename(sys.argv[0]), *sys.argv[1:]], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [message[:1]], [0, 1, 2])
    server.sendall(message[1:])
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16)) % 256)
"""


@contextmanager
def warm(programs: Path, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The variables of an environment in which ``artgan``, ``pytest`` and ``python -c`` start without delay.

    Args:
        programs: those of a virtual environment, which all other programs are.
        environment: the variables; third-party packages may read them when they are imported.
    """
    import socket  # its AF_UNIX is not everywhere

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/socket"
        listener.bind(address)
        listener.listen()
        for name in ("artgan", "python", "pytest"):
            Path(folder, name).write_text(_CLIENT.format(python=sys.executable, address=address))
            Path(folder, name).chmod(0o755)
        command = [programs / "python", "-c", _SERVER, str(listener.fileno())]
        with subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
        ) as server:
            listener.close()  # a client of a server that died is refused, and does not wait
            try:
                yield {**environment, "PATH": os.pathsep.join([folder, str(programs), environment["PATH"]])}
            finally:
                server.kill()
