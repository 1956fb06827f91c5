/* tests/certificate.h: a certificate for localhost, signed by itself. */
#ifndef HOLDFAST_TESTS_CERTIFICATE_H
#define HOLDFAST_TESTS_CERTIFICATE_H

/* Writes both files, of names in `dir` or elsewhere, by openssl; its messages go into
 * `dir`/openssl.log. What goes wrong fails the test. */
void certificate_make(const char *dir, const char *cert, const char *key);

#endif
