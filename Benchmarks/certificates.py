"""A certificate authority and the two hosts' certificates for the peers' mutual TLS: ECDSA on P-256, as Weft's are."""

from hosts import run

NAMES = ("near", "far")


def make(directory):
    """Writes ca.crt and for each name NAME.crt, NAME.key and NAME.pem (both, for HAProxy)."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run("openssl", "req", "-x509", *key, "-keyout", f"{directory}/ca.key", "-out", f"{directory}/ca.crt", "-subj", "/CN=bench",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    for name in NAMES:
        path = f"{directory}/{name}"
        run("openssl", "req", "-new", *key[:-2], "-keyout", f"{path}.key", "-out", f"{path}.csr", "-subj", f"/CN={name}")
        with open(f"{path}.ext", "w") as file:
            file.write(f"subjectAltName=DNS:{name},URI:spiffe://bench/{name}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n")
        run("openssl", "x509", "-req", "-in", f"{path}.csr", "-CA", f"{directory}/ca.crt", "-CAkey", f"{directory}/ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", f"{path}.ext", "-out", f"{path}.crt")
        with open(f"{path}.pem", "w") as file:
            for part in ("crt", "key"):
                with open(f"{path}.{part}") as source:
                    file.write(source.read())
