#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The format of device-mapper's log-writes target, and a writer that tests flushes.

  logwrites.py write DEVICE LOGNAME COUNT SEED   stamped writes; after each flush or
        FUA write that was acknowledged, a mark is put into the log
  logwrites.py verify LOG IMAGE COUNT SEED OPEN CLOSE
        replays the log into IMAGE up to each mark in turn; after each, runs the
        command OPEN, which prints a device with the guest's view of the image,
        and checks that all writes acknowledged by then are there; then CLOSE
  logwrites.py replay LOG IMAGE MARK
        replays the log into IMAGE up to that mark: what a device with a volatile
        cache has after a power cut at the mark, when it loses all it may lose

Writes reach the log when a flush or FUA covered them. So a stack that answers
a flush which it did not pass on leaves data out of the log before the mark.
"""
import mmap
import os
import random
import struct
import subprocess
import sys

BLOCK = 4096
SPAN = 512                      # blocks
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
MAGIC = 0x6a736677736872


def plan(count, seed):
    """The writer's steps: (block, stamp, how), how: plain, flush after, or FUA.

    The log takes a plain write when the next flush covers it, but a FUA write at
    once, so a replay has the two in the wrong order when both are of one block.
    Such a step is a flush instead.
    """
    rng = random.Random(seed)
    steps, uncovered = [], set()
    for step in range(count):
        block, how = rng.randrange(SPAN), rng.choice(["plain", "plain", "flush", "fua"])
        if how == "fua" and block in uncovered:
            how = "flush"
        if how == "flush":
            uncovered.clear()
        elif how == "plain":
            uncovered.add(block)
        steps.append((block, step + 1, how))
    return steps


def stamp(block, number):
    return struct.pack("<QQ", block, number) * (BLOCK // 16)


def write(device, log, count, seed):
    plain = os.open(device, os.O_RDWR | os.O_DIRECT)
    fua = os.open(device, os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
    buf = mmap.mmap(-1, BLOCK)
    for block, number, how in plan(count, seed):
        buf[:] = stamp(block, number)
        os.pwritev(fua if how == "fua" else plain, [buf], block * BLOCK)
        if how == "flush":
            os.fsync(plain)
        if how != "plain":
            subprocess.run(["dmsetup", "message", log, "0", "mark", f"{how}-{number}"], check=True)


def entries(log):
    """(flags, sector, data) of each entry, in order."""
    with open(log, "rb", buffering=0) as f:
        magic, _, count, size = struct.unpack("<QQQI", f.read(28))
        if magic != MAGIC:
            sys.exit(f"{log}: not a log of writes")
        at = size
        for _ in range(count):
            f.seek(at)
            sector, nr, flags, length = struct.unpack("<QQQQ", f.read(32))
            if flags & MARK:
                yield flags, 0, f.read(size)[:length] if size > 32 else b""
                at += size
            elif flags & DISCARD:
                yield flags, sector, nr * 512
                at += size
            else:
                f.seek(at + size)
                data = f.read(nr * 512)
                yield flags, sector, data
                at += size + len(data)


def verify(log, image, count, seed, opener, closer):
    steps = plan(count, seed)
    target = os.open(image, os.O_RDWR)
    marks = 0
    fua = set()                         # blocks written with FUA since the last mark
    for flags, sector, data in entries(log):
        if not flags & MARK:
            if flags & FUA:
                fua.add(sector * 512 // BLOCK)
            os.pwrite(target, bytes(data) if isinstance(data, int) else data, sector * 512)
            continue
        how, _, number = data.rstrip(b"\0").decode().partition("-")
        if how == "dm":                 # the target's own mark of the log's end
            continue
        number = int(number)
        marks += 1
        os.fsync(target)
        if how == "fua" and steps[number - 1][0] not in fua:
            sys.exit(f"mark fua-{number}: block {steps[number - 1][0]} got no FUA write")
        fua.clear()
        want = {}                       # what must be there
        for block, n, h in steps[:number]:
            want[block] = (n, h)
        if how == "fua":                # covers itself only, and what flushes covered
            durable = max((n for _, n, h in steps[:number - 1] if h == "flush"), default=0)
            must = {b: n for b, n, h in steps[:durable]}
            must[steps[number - 1][0]] = number
            must.update({b: n for b, n, h in steps[durable:number] if h == "fua"})
        else:
            must = {b: n for b, (n, h) in want.items()}
        device = subprocess.run(opener, shell=True, check=True, stdout=subprocess.PIPE).stdout.decode().strip()
        view = os.open(device, os.O_RDONLY)
        for block, n in must.items():
            got = os.pread(view, BLOCK, block * BLOCK)
            at, found = struct.unpack("<QQ", got[:16])
            # a later plain write of the same block may be there already
            if got != stamp(at, found) or at != block or found < n:
                sys.exit(f"mark {how}-{number}: block {block} has stamp {found} of block {at}, "
                         f"acknowledged was {n}")
        os.close(view)
        subprocess.run(closer, shell=True, check=True)
    expect = sum(1 for _, _, h in steps if h != "plain")
    if marks != expect:
        sys.exit(f"{marks} marks in the log, {expect} were made")
    print(f"{marks} marks verified")


def replay(log, image, mark):
    target = os.open(image, os.O_RDWR)
    for flags, sector, data in entries(log):
        if flags & MARK:
            if data.rstrip(b"\0").decode() == mark:
                return
        else:
            os.pwrite(target, bytes(data) if isinstance(data, int) else data, sector * 512)
    sys.exit(f"{log}: no mark {mark}")


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    elif len(sys.argv) == 8 and sys.argv[1] == "verify":
        verify(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6], sys.argv[7])
    elif len(sys.argv) == 5 and sys.argv[1] == "replay":
        replay(sys.argv[2], sys.argv[3], sys.argv[4])
    else:
        sys.exit(__doc__)
