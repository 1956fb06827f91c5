/* base/utf8.h: is it UTF-8, and how many characters, as MySQL's utf8mb4 counts them
 * (code points, surrogates and overlong forms refused). */
#ifndef HOLDFAST_BASE_UTF8_H
#define HOLDFAST_BASE_UTF8_H

#include "base/slice.h"

#include <stdint.h>

/* Length in bytes (1 to 4) of the character that `text` starts with; 0 where it is not
 * valid UTF-8 or text is empty. */
size_t utf8_next(struct slice text);

/* True and the number of characters, or false (out untouched) if not valid UTF-8. */
bool utf8_count(struct slice text, size_t *out_characters);

#endif
