"""A cable between two virtual network devices that delays and loses packets, for machines whose
kernel can't (`tc netem`): python -m tests.integration.cable NEAR FAR SECONDS SHARE_LOST

It makes the two devices, says "ready" and carries IP packets from each to the other until its
standard input ends, and the devices with it. For root on Linux.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque
from contextlib import suppress

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_LONGEST = 1 << 11  # packets on their way; more are lost, as in any queue


def device(name: str) -> int:
    """What is read from the descriptor was sent to the device, and the other way round."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return fd


def carry(near: int, far: int, delay: float, loss: float) -> None:
    other = {near: far, far: near}
    chance = random.Random(1).random
    late: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait = max(0.0, late[0][0] - time.monotonic()) if late else None
        ready = select.select([near, far, sys.stdin], [], [], wait)[0]
        now = time.monotonic()
        for each in ready:
            if each is sys.stdin:
                return
            with suppress(OSError):  # the device is down
                packet = os.read(each, 1 << 16)
                if chance() >= loss and len(late) < _LONGEST:
                    late.append((now + delay, other[each], packet))
        while late and late[0][0] <= now:
            _, to, packet = late.popleft()
            with suppress(OSError):
                os.write(to, packet)


def main() -> None:
    near, far = device(sys.argv[1]), device(sys.argv[2])
    print("ready", flush=True)
    carry(near, far, float(sys.argv[3]), float(sys.argv[4]))


if __name__ == "__main__":
    main()
