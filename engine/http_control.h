/* engine/http_control.h: requests over the control socket: what an operator asks of the
 * running engine. Private to http*.c. Each answers once what it did is durable.
 */
#ifndef HOLDFAST_ENGINE_HTTP_CONTROL_H
#define HOLDFAST_ENGINE_HTTP_CONTROL_H

#include "engine/http_request.h"

enum MHD_Result http_control_pause(struct request *request);
enum MHD_Result http_control_resume(struct request *request);

/* ?stream=NAME&lane=N: `deadletter accept` */
enum MHD_Result http_control_accept_dead(struct request *request);

/* ?stream=NAME&lane=N: what the lane lacks, as JSON; 404: nothing */
enum MHD_Result http_control_gap(struct request *request);
/* and &to=SEQ&sum=HEX, as that said: pass over it */
enum MHD_Result http_control_accept_gap(struct request *request);

/* The same, and ?set0=FIELD%3DVALUE&set1=...: try them again; what letters_put_retried
 * writes */
enum MHD_Result http_control_retry(struct request *request);

/* ?stream=&reason=&from=&to=&since_us=&until_us=&index=: purge the dead letters that fit;
 * {"purged":n} */
enum MHD_Result http_control_purge(struct request *request);

#endif
