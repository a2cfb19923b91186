// SPDX-License-Identifier: GPL-2.0
/*
 * vaio-kunit.ko: the project's KUnit suites. KUnit runs them when the module is
 * loaded; tests/kunit/run loads it and reads the results.
 */
#include <linux/module.h>

MODULE_DESCRIPTION("KUnit tests of vaio");
MODULE_LICENSE("GPL");
