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
		new() { # NAME SUBJECT [OPTION...]
			openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 30 \
				-keyout "$1.key" -out "$1.pem" -subj "/CN=$2" "${@:3}" 2>/dev/null
		}
		new ca 'test CA' || exit
		for name in server client; do
			new $name $name -CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE \
				-addext 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.2.2' || exit
			cp ca.pem $name/CA/cacert.pem
			cp $name.pem $name/vaio/${name}cert.pem
			cp $name.key $name/vaio/private/${name}key.pem
		done
		cp ca.pem stranger/CA/cacert.pem
		new stranger client || exit
		cp stranger.pem stranger/vaio/clientcert.pem
		cp stranger.key stranger/vaio/private/clientkey.pem
	)
}
