// SPDX-License-Identifier: GPL-2.0
/* TLS 1.3 with certificates on both sides, in folders as libvirt has them. */
#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replicad.h"

/* Credentials are counted: a handshake may still use the old ones after a reload. */
struct creds {
	gnutls_certificate_credentials_t x509;
	atomic_int users;
};

static struct creds *current;
static atomic_uint reloads;
static struct vaio_pki_watch watch;	/* main()'s thread's */
static pthread_mutex_t creds_lock = PTHREAD_MUTEX_INITIALIZER;
static gnutls_priority_t priority;

static int load(struct creds *c, struct vr_err *e)
{
	struct vaio_pki p;
	int rc;

	vaio_pki_files(&p, config.pki, "server");
	vaio_pki_read(&watch, &p);
	rc = gnutls_certificate_allocate_credentials(&c->x509);
	if (rc < 0)
		return vr_fail(e, -ENOMEM, "TLS: %s", gnutls_strerror(rc));
	rc = gnutls_certificate_set_x509_trust_file(c->x509, p.ca, GNUTLS_X509_FMT_PEM);
	if (rc <= 0)
		return vr_fail(e, -EINVAL, "%.150s: %s", p.ca, rc ? gnutls_strerror(rc) : "no certificate in it");
	if (!access(p.crl, F_OK)) {
		rc = gnutls_certificate_set_x509_crl_file(c->x509, p.crl, GNUTLS_X509_FMT_PEM);
		if (rc < 0)
			return vr_fail(e, -EINVAL, "%.150s: %s", p.crl, gnutls_strerror(rc));
	}
	rc = gnutls_certificate_set_x509_key_file(c->x509, p.cert, p.key, GNUTLS_X509_FMT_PEM);
	if (rc < 0)
		return vr_fail(e, -EINVAL, "%.100s, %.100s: %s", p.cert, p.key, gnutls_strerror(rc));
	return 0;
}

static void put(struct creds *c)
{
	if (c && atomic_fetch_sub(&c->users, 1) == 1) {
		gnutls_certificate_free_credentials(c->x509);
		free(c);
	}
}

int tls_reload(struct vr_err *e)
{
	struct creds *c = calloc(1, sizeof(*c)), *old;
	int err = c ? load(c, e) : vr_fail(e, -ENOMEM, "no memory");

	if (err) {
		if (c && c->x509)
			gnutls_certificate_free_credentials(c->x509);
		free(c);
		return err;
	}
	c->users = 1;
	pthread_mutex_lock(&creds_lock);
	old = current;
	current = c;
	atomic_fetch_add(&reloads, 1);
	pthread_mutex_unlock(&creds_lock);
	put(old);
	return 0;
}

bool tls_changed(void)
{
	struct vaio_pki p;

	vaio_pki_files(&p, config.pki, "server");
	return vaio_pki_changed(&watch, &p);
}

bool tls_stale(const struct session *s)
{
	return s->reload != reloads;
}

int tls_init(struct vr_err *e)
{
	int rc = gnutls_priority_init(&priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);

	return rc < 0 ? vr_fail(e, -EINVAL, "TLS: %s", gnutls_strerror(rc)) : tls_reload(e);
}

static int check_peer(struct session *s, struct vr_err *e)
{
	unsigned int status = 0, nr = 0;
	const gnutls_datum_t *list;
	gnutls_x509_crt_t crt;
	gnutls_datum_t text, name;
	int rc = gnutls_certificate_verify_peers2(s->tls, &status);

	if (rc < 0)
		return vr_fail(e, -EACCES, "certificate: %s", gnutls_strerror(rc));
	if (status) {
		gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
		vr_fail(e, -EACCES, "certificate: %.200s", text.data);
		gnutls_free(text.data);
		return -EACCES;
	}
	list = gnutls_certificate_get_peers(s->tls, &nr);
	if (!nr || gnutls_x509_crt_init(&crt) < 0)
		return vr_fail(e, -EACCES, "certificate: there is none");
	rc = gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER);
	if (rc >= 0)
		rc = gnutls_x509_crt_get_dn3(crt, &name, 0);
	gnutls_x509_crt_deinit(crt);
	if (rc < 0)
		return vr_fail(e, -EACCES, "certificate: %s", gnutls_strerror(rc));
	if (!name.size || name.size >= sizeof(s->subject))
		rc = vr_fail(e, -EACCES, "certificate: its subject name has not 1 to %zu bytes", sizeof(s->subject) - 1);
	else if (memchr(name.data, 0, name.size))
		rc = vr_fail(e, -EACCES, "certificate: its subject name has a byte of zero");
	else
		memcpy(s->subject, name.data, name.size);
	gnutls_free(name.data);
	return rc < 0 ? rc : 0;
}

int tls_start(struct session *s, struct vr_err *e)
{
	static const gnutls_datum_t alpn = { (unsigned char *)VAIO_RW_ALPN, sizeof(VAIO_RW_ALPN) - 1 };
	gnutls_datum_t chosen;
	struct creds *c;
	int rc;

	pthread_mutex_lock(&creds_lock);
	c = current;
	atomic_fetch_add(&c->users, 1);
	s->reload = reloads;
	pthread_mutex_unlock(&creds_lock);
	rc = gnutls_init(&s->tls, GNUTLS_SERVER | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL);
	if (rc < 0) {
		put(c);
		return vr_fail(e, -ENOMEM, "TLS: %s", gnutls_strerror(rc));
	}
	gnutls_priority_set(s->tls, priority);
	gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, c->x509);
	gnutls_certificate_server_set_request(s->tls, GNUTLS_CERT_REQUIRE);
	gnutls_alpn_set_protocols(s->tls, &alpn, 1, GNUTLS_ALPN_MANDATORY);
	gnutls_transport_set_int(s->tls, s->fd);
	gnutls_handshake_set_timeout(s->tls, 10000);
	do
		rc = gnutls_handshake(s->tls);
	while (rc < 0 && !gnutls_error_is_fatal(rc) && !stopping);
	if (rc < 0)
		rc = vr_fail(e, -EACCES, "TLS: %s", gnutls_strerror(rc));
	else if (gnutls_alpn_get_selected_protocol(s->tls, &chosen) < 0)
		rc = vr_fail(e, -EPROTO, "TLS: the protocol %s was not offered", VAIO_RW_ALPN);
	else
		rc = check_peer(s, e);
	/* Most of what comes is large, and is decrypted to its place. What is sent is small, and stays with GnuTLS. */
	s->kernel_receives = !rc && !ktls_receive_begin(s->tls, s->fd);
	/* The handshake is over: the session needs them no more. */
	gnutls_credentials_clear(s->tls);
	put(c);
	return rc;
}
