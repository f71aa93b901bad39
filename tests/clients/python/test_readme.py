"""The README's Python program, run unchanged except for the port."""

import asyncio
import os
import re
import sys
from pathlib import Path

from server import TIMEOUT_SECONDS

README = Path(__file__).resolve().parents[3] / "README.md"


async def test_two_copies_of_the_program_receive_each_other(server):
    program = re.search(r"```python\n(.*?)```", README.read_text(), re.S)[1]
    program = program.replace("localhost:8080", f"127.0.0.1:{server.port}")
    environment = {**os.environ, "TOKEN": server.token(), "PYTHONUNBUFFERED": "1"}

    async def start():
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env=environment, stdout=asyncio.subprocess.PIPE
        )

    async def printed(process, wanted):
        while line := await process.stdout.readline():
            if wanted in line.decode():
                return
        raise AssertionError(f"the program ended before it printed {wanted}")

    first = await start()
    await asyncio.wait_for(printed(first, "SUBSCRIBED"), TIMEOUT_SECONDS)
    second = await start()
    try:
        await asyncio.wait_for(printed(first, "{'x': 1, 'y': 2}"), TIMEOUT_SECONDS)
    finally:
        for process in (first, second):
            process.kill()
            await process.wait()
