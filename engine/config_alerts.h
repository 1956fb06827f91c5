/* engine/config_alerts.h: the group `alerts` of the configuration. */
#ifndef HOLDFAST_ENGINE_CONFIG_ALERTS_H
#define HOLDFAST_ENGINE_CONFIG_ALERTS_H

#include "engine/config.h"
#include "engine/config_raw.h"
#include "engine/config_read.h"

void config_alerts_defaults(struct alert_config *alerts);
void config_alerts_read(struct config_reader *reader, const struct raw_alerts *raw,
                        struct alert_config *alerts);

#endif
