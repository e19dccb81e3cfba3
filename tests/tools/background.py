# SPDX-License-Identifier: Apache-2.0
"""An event loop on a thread of its own, for servers that a test steers while it waits for something else."""

import asyncio
import inspect
import threading

CALL_SECONDS = 10  # each call only changes settings or closes sockets


class Background:
    """Whoever inherits it writes coroutines and plain functions for the loop, and public methods that `_call` them."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends every task, and the thread. A second call does nothing."""
        if not self._loop.is_closed():
            self._call(self._end_tasks)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_SECONDS)
            self._loop.close()

    def _call(self, function, *arguments):
        """Runs it on the loop, waits for what it returns."""

        async def run():
            value = function(*arguments)
            return await value if inspect.isawaitable(value) else value

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_SECONDS)

    async def _end_tasks(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
