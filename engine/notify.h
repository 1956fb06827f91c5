/* engine/notify.h: telling the service manager, by systemd's documented protocol: one
 * datagram to the socket that $NOTIFY_SOCKET names. */
#ifndef HOLDFAST_ENGINE_NOTIFY_H
#define HOLDFAST_ENGINE_NOTIFY_H

#include <stdint.h>

/* Sends assignments such as "READY=1\nSTATUS=...". Does nothing where nobody asked to be
 * told; never blocks. */
void notify_send(const char *state);

/* How often WATCHDOG=1 is due: half of what $WATCHDOG_USEC allows; 0: not asked for. */
int64_t notify_watchdog_us(void);

#endif
