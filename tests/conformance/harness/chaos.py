"""A bad network between a client and the daemon: a relay that slices, delays, stalls and resets, from a seed.

The same seed gives the same decisions (what the two ends and the scheduler do in between is theirs).
"""

import asyncio
import contextlib
import copy
import random
import socket
import struct
import threading


class Mood:
    """What happens to one connection: pieces of 1..`piece` bytes (the first 10,000), pauses of up to `pause` s before some of them, one long
    stall of up to `stall` s, and with `cut` an RST to both sides after a random number of the daemon's bytes up to it."""

    def __init__(self, piece=2000, pause=0.002, stall=0.1, cut=None):
        self.piece, self.pause, self.stall, self.cut = piece, pause, stall, cut


SLICED = Mood(piece=7, pause=0.0, stall=0.0)
SLOW = Mood()


class Gate:
    """Listens on `port` and relays to `target`. Use as a context manager; runs in a thread of its own."""

    def __init__(self, target, seed, mood):
        self.target, self.mood, self.chance = target, mood, random.Random(seed)
        self.cuts = 0
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.tasks = set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ending.cancel)
        self.thread.join(10)
        self.loop.close()

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.ending = self.loop.create_task(self.serve())
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.ending)

    async def serve(self):
        self.listener.setblocking(False)
        try:
            while True:
                client, _ = await self.loop.sock_accept(self.listener)
                task = self.loop.create_task(self.connection(client, random.Random(self.chance.random())))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        finally:
            self.listener.close()
            for task in list(self.tasks):
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connection(self, client, chance):
        upstream = socket.socket()
        for sock in (client, upstream):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = None if self.mood.cut is None else chance.choice((100, 1000, self.mood.cut))
        budget = None if limit is None else chance.randrange(limit + 1)
        ways = []
        try:
            await self.loop.sock_connect(upstream, ("127.0.0.1", self.target))
            ways += [self.loop.create_task(self.one_way(client, upstream, random.Random(chance.random()), None)),
                     self.loop.create_task(self.one_way(upstream, client, random.Random(chance.random()), budget))]
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            if any(task.exception() for task in done):
                self.reset(client, upstream)
        except OSError:
            self.reset(client, upstream)
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            client.close()
            upstream.close()

    def reset(self, *socks):
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def one_way(self, source, sink, chance, budget):
        """Until the source's end, which is passed on; raises at an error and where the budget is used up."""
        mood = self.mood
        stalls_at = chance.randrange(20_000)
        passed = 0
        while data := await self.loop.sock_recv(source, 65536):
            while data:
                piece = data[:chance.randint(1, mood.piece)] if passed < 10_000 else data
                if budget is not None and passed + len(piece) > budget:
                    await self.loop.sock_sendall(sink, piece[:budget - passed])
                    self.cuts += 1
                    raise ConnectionResetError("as decided")
                if mood.pause and passed < 50_000 and chance.random() < 0.2:
                    await asyncio.sleep(chance.random() * mood.pause)
                if mood.stall and passed <= stalls_at < passed + len(piece):
                    await asyncio.sleep(chance.random() * mood.stall)
                await self.loop.sock_sendall(sink, piece)
                passed += len(piece)
                data = data[len(piece):]
        sink.shutdown(socket.SHUT_WR)


def behind(daemon, gate):
    """The daemon, called through the gate; `direct` is the daemon itself."""
    one = copy.copy(daemon)
    one.port, one.direct = gate.port, daemon
    return one
