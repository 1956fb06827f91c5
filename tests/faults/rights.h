/* tests/faults/rights.h: the database user that the layers' engines log in as has what
 * `holdfast schema` prints, and nothing else.
 */
#ifndef HOLDFAST_TESTS_FAULTS_RIGHTS_H
#define HOLDFAST_TESTS_FAULTS_RIGHTS_H

#include "tests/engine_process.h"

/* The name in an engine's configuration; without a password. */
#define RIGHTS_USER "holdfast"

/* Appends the statements, for an administrator, that make this user anew with the rights
 * that the engine of this configuration asks for. ERR_INTERNAL: it prints none. */
int rights_append(const struct engine_process *engine, struct buf *out_sql,
                  struct err *err);

#endif
