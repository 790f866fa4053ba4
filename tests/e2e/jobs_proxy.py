"""A stretch of network between a runner and PostgreSQL: ``python -m tests.e2e.jobs_proxy LISTEN TARGET``.

Both are Unix sockets. Who halts this process has the network lose everything, and nobody hear of it.
"""

import asyncio
import contextlib
import sys

PIECE = 64 * 1024


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def main() -> None:
    listen, target = sys.argv[1:]

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_unix_connection(target)
        await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))

    async with await asyncio.start_unix_server(connect, listen) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
