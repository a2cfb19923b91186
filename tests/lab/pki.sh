# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Certificates for scripts in a booted kernel, whose clock may be any.

# make_pki [FOLDER]: a CA, a server's certificate for localhost, a client's; a stranger's, which signed itself.
make_pki() {
	local dir=${1-$WORK/pki} name
	mkdir -p "$dir"/{server,client,stranger}/{CA,vaio/private}
	(
		cd "$dir" || exit
		new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" "${@:2}" 2>/dev/null; }
		new ca -x509 -out ca.pem -days 30 -subj '/CN=test CA' || exit
		for name in server client; do
			printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.2.2\n' >ext
			new $name -out $name.csr -subj "/CN=$name" &&
				openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
					-extfile ext -out $name.pem 2>/dev/null || exit
			cp ca.pem $name/CA/cacert.pem
			cp $name.pem $name/vaio/${name}cert.pem
			cp $name.key $name/vaio/private/${name}key.pem
		done
		cp ca.pem stranger/CA/cacert.pem
		new stranger -x509 -out stranger.pem -days 30 -subj '/CN=client' || exit
		cp stranger.pem stranger/vaio/clientcert.pem
		cp stranger.key stranger/vaio/private/clientkey.pem
	)
}
