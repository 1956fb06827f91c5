#include "base/utf8.h"

/* Length of a character by its first byte; 0 for a byte that can't be first. */
static size_t length_by_first(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first < 0xe0) {
        return 2;
    }
    if (first >= 0xe0 && first < 0xf0) {
        return 3;
    }
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/* Second bytes that would make an overlong form, a surrogate or more than U+10FFFF. */
static bool second_is_bad(uint8_t first, uint8_t second)
{
    return (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
           (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
}

size_t utf8_next(struct slice text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    size_t len = text.len ? length_by_first(at[0]) : 0;
    if (len == 0 || len > text.len || (len > 1 && second_is_bad(at[0], at[1]))) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

/* How many ASCII characters the text begins with; eight at a time, since this is on the
 * path of every record. */
static size_t ascii_length(struct slice text)
{
    size_t len = 0;
    uint64_t eight;
    for (; len + sizeof eight <= text.len; len += sizeof eight) {
        memcpy(&eight, text.data + len, sizeof eight);
        if (eight & 0x8080808080808080u) {
            break;
        }
    }
    while (len < text.len && (uint8_t)text.data[len] < 0x80) {
        len++;
    }
    return len;
}

bool utf8_count(struct slice text, size_t *out_characters)
{
    size_t count = 0;
    while (text.len) {
        size_t ascii = ascii_length(text);
        size_t len = ascii ? ascii : utf8_next(text);
        if (len == 0) {
            return false;
        }
        text.data += len;
        text.len -= len;
        count += ascii ? ascii : 1;
    }
    *out_characters = count;
    return true;
}
