/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TESTS_REVOKE_H
#define TESTS_REVOKE_H

#include "unit.h"

/* Puts the list of the CA in ca.pem and ca.key, with the certificate in @cert.pem on it, where the daemons look for it. */
static void put_on_list(const char *cert)
{
	assert_true(sh("printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=revoked\\ndefault_md=sha256\\ndefault_crl_days=30\\n' >crl.cnf && "
		       ": >revoked && openssl ca -config crl.cnf -keyfile ca.key -cert ca.pem -revoke %s.pem && "
		       "openssl ca -config crl.cnf -keyfile ca.key -cert ca.pem -gencrl -out pki/CA/cacrl.pem", cert));
}

/* How often the log in the scratch folder has @words. */
static unsigned int logged(const char *words)
{
	unsigned int n = 0;
	char line[1200];
	FILE *f = fopen(in_scratch("log"), "r");

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, words) != NULL;
	if (f)
		fclose(f);
	return n;
}

/* SIGHUP; until the log has @words once more. */
static void reload(pid_t pid, const char *words)
{
	unsigned int before = logged(words);

	assert_int_equal(kill(pid, SIGHUP), 0);
	for (int i = 0; i < 60000 && logged(words) == before; i++)
		usleep(1000);
	if (logged(words) == before)
		fail_msg("'%s' is not in the log after SIGHUP; see the log in %s", words, scratch);
}

#endif /* TESTS_REVOKE_H */
