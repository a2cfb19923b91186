#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""scribble.py DEVICE COUNT SEED: O_DIRECT writes whose buffers another thread changes.

Each buffer begins at an odd multiple of the smallest alignment that the device
takes. A block written while it changes may hold any mixture of old and new
bytes, but it must read back twice the same, its neighbours must not change,
and a write after it must be exact.
"""
import fcntl
import mmap
import os
import random
import struct
import sys
import threading

device, count, rng = sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3]))
fd = os.open(device, os.O_RDWR | os.O_DIRECT)
block = struct.unpack("i", fcntl.ioctl(fd, 0x1268, b"\0" * 4))[0]        # BLKSSZGET
length = 16 * block
memory = mmap.mmap(-1, 2 * length + 4096)
back = mmap.mmap(-1, length)
stop = False


def scribble():
    n = 0
    while not stop:
        n = (n + 251) % len(memory)
        memory[n] = (memory[n] + 1) & 255


def read(at, size):
    view = memoryview(back)[:size]
    if os.preadv(fd, [view], at) != size:
        sys.exit(f"short read at {at}")
    return bytes(view)


def write_at(at, data, odd):
    memory[odd:odd + len(data)] = data
    view = memoryview(memory)[odd:odd + len(data)]
    if os.pwritev(fd, [view], at) != len(data):
        sys.exit(f"short write at {at}")


thread = threading.Thread(target=scribble, daemon=True)
thread.start()
neighbour = os.urandom(block)
quiet = mmap.mmap(-1, block)
for step in range(count):
    at = (1 + rng.randrange(64) * 18) * block
    size = rng.randrange(1, 17) * block
    quiet[:] = neighbour
    os.pwritev(fd, [quiet], at - block)
    os.pwritev(fd, [quiet], at + size)
    try:
        write_at(at, os.urandom(size), rng.choice([0, 4, 512, 512 * 3, block]) % 4096)
    except OSError as e:
        if e.errno != 22:
            raise
        write_at(at, os.urandom(size), 0)       # this alignment is refused: also an answer
    first, second = read(at, size), read(at, size)
    if first != second:
        sys.exit(f"step {step}: two reads at {at} differ")
    if read(at - block, block) != neighbour or read(at + size, block) != neighbour:
        sys.exit(f"step {step}: a neighbour of {at}+{size} changed")
    quiet[:] = first[:block]
    os.pwritev(fd, [quiet], at)
    if read(at, block) != first[:block]:
        sys.exit(f"step {step}: a write after it is not exact")
stop = True
thread.join()
print(f"{count} writes")
