/* engine/config_stream.h: a stream as the YAML file writes it -> a checked stream. */
#ifndef HOLDFAST_ENGINE_CONFIG_STREAM_H
#define HOLDFAST_ENGINE_CONFIG_STREAM_H

#include "engine/config_raw.h"
#include "engine/config_read.h"
#include "schema/stream.h"

/* `index` is its place under streams. A fault is left in the reader. */
void config_stream_build(struct config_reader *reader, const struct raw_stream *raw,
                         size_t index, struct stream **out_stream);

#endif
