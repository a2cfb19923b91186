#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A key that is looked for in a guest's memory, for keys.sh.

  key.py new FILE           a random AES-256-XTS key, as its complement, into FILE
  key.py load FILE NAME     add it as a logon key to the session keyring
  key.py seek FILE TEXT     is it in TEXT, as bytes or as hexadecimal digits?
  key.py find FILE MEMORY   is it, or one of its AES round keys, in a copy of memory?

The file holds the key's complement, and load wipes what it held: else the test
itself would leave the key in memory. seek and find print what they found.
"""
import ctypes
import os
import sys

SIZE = 64
SYS_ADD_KEY = 248	# x86-64
KEY_SPEC_SESSION_KEYRING = -3


def turned(path):
    data = bytearray(SIZE)
    with open(path, 'rb', buffering=0) as file:
        file.readinto(data)
    for i in range(SIZE):
        data[i] ^= 0xff
    return data


def load(path, name):
    libc = ctypes.CDLL(None, use_errno=True)
    data = turned(path)
    payload = (ctypes.c_char * SIZE).from_buffer(data)
    serial = libc.syscall(SYS_ADD_KEY, b'logon', name.encode(), payload,
                          ctypes.c_size_t(SIZE), KEY_SPEC_SESSION_KEYRING)
    error = ctypes.get_errno()
    ctypes.memset(payload, 0, SIZE)
    if serial < 0:
        sys.exit(f'add_key: {os.strerror(error)}')


def sbox():
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= (p << 1) ^ (0x11b if p & 0x80 else 0)	# times 3
        p &= 0xff
        q ^= q << 1	# divided by 3
        q ^= q << 2
        q ^= q << 4
        q &= 0xff
        if q & 0x80:
            q ^= 0x09
        x = q
        for n in range(1, 5):
            x ^= (q << n | q >> (8 - n)) & 0xff
        box[p] = x ^ 0x63
        if p == 1:
            return box


def times(a, b):
    r = 0
    while b:
        if b & 1:
            r ^= a
        a = a << 1 ^ (0x11b if a & 0x80 else 0)
        b >>= 1
    return r


def round_keys(key):
    """FIPS 197: the 15 round keys of AES-256, and those of the inverse cipher."""
    box, rcon = sbox(), 1
    words = [list(key[i:i + 4]) for i in range(0, 32, 4)]
    while len(words) < 60:
        word = list(words[-1])
        if len(words) % 8 == 0:
            word = [box[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = times(rcon, 2)
        elif len(words) % 8 == 4:
            word = [box[b] for b in word]
        words.append([a ^ b for a, b in zip(word, words[-8])])
    plain = [bytes(sum(words[i:i + 4], [])) for i in range(0, 60, 4)]
    inverse = []
    for key in plain[1:-1]:
        mixed = bytearray()
        for c in range(0, 16, 4):
            for r in range(4):
                mixed.append(times(key[c + r], 14) ^ times(key[c + (r + 1) % 4], 11) ^
                             times(key[c + (r + 2) % 4], 13) ^ times(key[c + (r + 3) % 4], 9))
        inverse.append(bytes(mixed))
    return plain, inverse


def seek(path, text):
    key = turned(path)
    with open(text, 'rb') as file:
        data = file.read()
    for start in range(0, SIZE, 16):
        part = bytes(key[start:start + 16])
        if part in data or part.hex().encode() in data.lower():
            print(f'bytes {start} to {start + 15} of the key')


def find(path, memory):
    key = turned(path)
    wanted = {}
    for half in range(2):
        plain, inverse = round_keys(key[half * 32:half * 32 + 32])
        for n, part in enumerate(plain):
            wanted[part] = f'half {half}: ' + (f'bytes {n * 16} to {n * 16 + 15}' if n < 2
                                               else f'round key {n}')
        for n, part in enumerate(inverse, 1):
            wanted[part] = f'half {half}: inverse round key {n}'

    # Once over the memory, most of which is zero.
    chunk, tail = 1 << 18, b''
    zero = bytes(chunk)
    with open(memory, 'rb', buffering=0) as file:
        while data := file.read(chunk):
            if data == zero:
                tail = b''
                continue
            data = tail + data
            for part in [part for part in wanted if part in data]:
                print(wanted.pop(part))
            tail = data[-15:]


def main():
    command, path, *rest = sys.argv[1:]
    if command == 'new':
        with open(path, 'wb') as file:
            file.write(os.urandom(SIZE))
    else:
        {'load': load, 'seek': seek, 'find': find}[command](path, *rest)


if len(sys.argv) < 3:
    sys.exit(__doc__)
main()
