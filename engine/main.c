#include "engine/cli.h"
#include "replay/login_guard.h"

int main(int argc, char **argv)
{
    login_guard_install(EXIT_AGAIN);
    return cli_main(argc, argv);
}
