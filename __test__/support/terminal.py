"""Runs a program in a terminal: terminal.py STEPS COMMAND..., STEPS a JSON list of [text to wait for, text to type].

Prints {"output", "exitCode"} as JSON. Text to wait for is looked for after what was seen before.
"""

import json
import os
import pty
import select
import sys
import time

TIMEOUT_SECONDS = 40

steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])

output = b""
seen = 0
deadline = time.monotonic() + TIMEOUT_SECONDS


def read():
    """Takes what the program wrote; false once it has ended."""
    global output
    if time.monotonic() > deadline:
        sys.exit("timed out; so far: " + repr(output))
    if not select.select([terminal], [], [], 0.1)[0]:
        return True
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    output += data
    return data != b""


for expected, typed in steps:
    while output.find(expected.encode(), seen) == -1:
        if not read():
            sys.exit("ended while waiting for %r; so far: %r" % (expected, output))
    seen = output.find(expected.encode(), seen) + len(expected.encode())
    # Nobody types within the instant in which the program changes the mode of its terminal.
    time.sleep(0.02)
    os.write(terminal, typed.encode())
while read():
    pass
status = os.waitpid(pid, 0)[1]
print(json.dumps({"output": output.decode(errors="replace"), "exitCode": os.waitstatus_to_exitcode(status)}))
