/* A whole program that uses Holdfast as a library: hands over one record, says where it
 * is once it is durable, and whether it reached the database within a second.
 *
 *     cc program_embed.c $(pkg-config --cflags --libs holdfast)
 */
#include <holdfast.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char record[] =
        "{\"ip\":\"203.0.113.9\",\"timestamp\":\"2026-01-08 01:04:26\"}";
    struct holdfast *holdfast;
    struct holdfast_receipt receipt;
    char error[256];

    if (argc != 3) {
        fprintf(stderr, "usage: %s CONFIG STREAM\n", argv[0]);
        return 64;
    }
    if (holdfast_open(argv[1], &holdfast, error, sizeof error)) {
        fprintf(stderr, "open: %s\n", error);
        return 1;
    }
    if (holdfast_submit(holdfast, argv[2], record, strlen(record), "embed-1", &receipt,
                        error, sizeof error)) {
        fprintf(stderr, "submit: %s\n", error);
        holdfast_close(holdfast);
        return 1;
    }
    enum holdfast_code applied = holdfast_wait_applied(holdfast, &receipt, 1000);
    printf("holdfast %s: durable seq=%llu accepted=%u replayed=%d applied=%s\n",
           holdfast_version(), (unsigned long long)receipt.seq, receipt.accepted,
           receipt.replayed, applied == HOLDFAST_OK ? "yes" : "not yet");
    holdfast_close(holdfast);
    return 0;
}
