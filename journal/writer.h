/* journal/writer.h: the one thread that writes. */
#ifndef HOLDFAST_JOURNAL_WRITER_H
#define HOLDFAST_JOURNAL_WRITER_H

#include "journal/handle.h"

int writer_start(struct journal *journal, struct err *err);

/* Completes what is queued and joins the thread. */
void writer_stop(struct journal *journal);

#endif
