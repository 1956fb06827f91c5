/* engine/body_forms.h: the two families of bodies; see body.h. Both return how many
 * records were recognised (`end` was called), whatever the number of broken ones. */
#ifndef HOLDFAST_ENGINE_BODY_FORMS_H
#define HOLDFAST_ENGINE_BODY_FORMS_H

#include "engine/body.h"

/* `text` begins with { or [. */
uint64_t body_parse_json(struct slice text, const struct body_handler *handler);

uint64_t body_parse_csv(struct slice text, const struct body_rules *rules,
                        const struct body_handler *handler);

#endif
