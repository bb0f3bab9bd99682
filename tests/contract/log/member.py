"""A member of a group in a process of its own, which a test may stop: `member.py BOOTSTRAP GROUP TOPIC`.

Prints what it was given, waits for a line, then tries to prove it and prints the outcome.
"""

import asyncio
import sys

from tests.contract.log.conftest import kafka_log, started


async def member(bootstrap: str, group: str, topic: str) -> None:
    log = kafka_log(bootstrap, group)
    share = await started(log, {}, [topic])
    print("own", *(at.number for at in share.own), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print("proven", await log.prove(dict.fromkeys(share.own, 1)), "revoked", log.is_revoked, flush=True)
    await log.close()


if __name__ == "__main__":
    asyncio.run(member(*sys.argv[1:]))
