"""Clients of the official Python library. Waits end with an event, never after a fixed time."""

import asyncio
from collections.abc import Callable
from typing import Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from websockets.frames import Frame, Opcode

from server import TIMEOUT_SECONDS


class Inbox:
    """A queue of received messages."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, *message: Any) -> None:
        """For use as a callback; several arguments arrive as a tuple."""
        self._received.put_nowait(message[0] if len(message) == 1 else message)

    async def next(self) -> Any:
        """The next message."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._received.get()

    async def until(self, holds: Callable[[Any], bool]) -> Any:
        """The next message for which `holds` is true; those before it are discarded."""
        while not holds(message := await self.next()):
            pass
        return message

    @property
    def empty(self) -> bool:
        """Whether no message is waiting."""
        return self._received.empty()


class Person:
    """A client and the channel it is in."""

    def __init__(self, client: AsyncRealtimeClient, channel: AsyncRealtimeChannel) -> None:
        self.client = client
        self.channel = channel
        self.received = Inbox()
        self.states = Inbox()
        self.presence = Inbox()

    def notices(self) -> Inbox:
        """The `system` messages of the channel from now on, those of status ok."""
        notices = Inbox()
        self.channel.on_system(notices.put)
        return notices

    def closes(self) -> Inbox:
        """The ends of the channel from now on, for which the library has no callback."""
        closes, on_close = Inbox(), self.channel.on_close

        def closed() -> None:
            on_close()
            closes.put("closed")

        self.channel.on_close = closed
        return closes

    def pings(self) -> Inbox:
        """The pings of the server from now on, over the present connection; the client still answers them."""
        pings, protocol = Inbox(), self.client._ws_connection.protocol
        receive = protocol.recv_frame

        def recv_frame(frame: Frame) -> None:
            if frame.opcode is Opcode.PING:
                pings.put(frame)
            receive(frame)

        protocol.recv_frame = recv_frame
        return pings

    async def send(self, event: str, payload: dict[str, Any]) -> None:
        """Sends a broadcast."""
        await self.channel.send_broadcast(event, payload)

    async def joined(self) -> "Person":
        """Joins and waits for the reply."""
        await self.channel.subscribe(self.states.put)
        state, error = await self.states.next()
        assert state == RealtimeSubscribeStates.SUBSCRIBED, error
        return self
