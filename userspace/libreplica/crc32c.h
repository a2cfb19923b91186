/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LIBREPLICA_CRC32C_H
#define LIBREPLICA_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C of @len bytes that follow bytes whose CRC is @crc; 0 to begin. */
uint32_t vr_crc32c(uint32_t crc, const void *data, size_t len);

#endif /* LIBREPLICA_CRC32C_H */
