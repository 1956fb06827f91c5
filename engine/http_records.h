/* engine/http_records.h: the requests that carry records. Private to http*.c. */
#ifndef HOLDFAST_ENGINE_HTTP_RECORDS_H
#define HOLDFAST_ENGINE_HTTP_RECORDS_H

#include "engine/http_request.h"

/* The body is whole: inflate, parse, suspend, submit. */
enum MHD_Result http_records_run(struct request *request);

/* The batch is durable or refused: answer, or wait for it to be applied. */
enum MHD_Result http_records_committed(struct request *request);

/* It is applied, or time is up. */
enum MHD_Result http_records_answer(struct request *request);

#endif
