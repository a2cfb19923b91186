/* SPDX-License-Identifier: GPL-2.0 */
/* The store of a replica and the batches of its protocol; no network. */
#ifndef LIBREPLICA_H
#define LIBREPLICA_H

#include "batch.h"
#include "crc32c.h"
#include "err.h"
#include "history.h"
#include "index.h"
#include "io.h"
#include "message.h"
#include "scratch.h"
#include "store.h"
#include "super.h"
#include "text.h"

#endif /* LIBREPLICA_H */
