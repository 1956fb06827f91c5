/* The fixture itself: processes, their output and their end. */
#include "tests/world.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(world_process, run_gives_output_and_code)
{
    static const char *const argv[] = {"sh", "-c", "cat; exit 3", NULL};
    char *text = NULL;
    int code = world_run(argv, "a line\n", &text, 60000);
    cr_assert_eq(code, 3);
    cr_assert_str_eq(text, "a line\n");
    free(text);
}

Test(world_process, spawn_logs_and_takes_environment)
{
    struct world w = {0};
    world_make_dir(w.dir);
    char log[WORLD_PATH_MAX];
    world_path(&w, "log", log);
    static const char *const argv[] = {
        "sh", "-c", "echo \"got $HOLDFAST_TEST\" >&2; exec sleep 600", NULL};
    static const char *const env[] = {"HOLDFAST_TEST=this", NULL};
    pid_t pid = world_spawn(argv, env, log);
    world_wait_log(log, "got this\n", pid, 60000);
    world_kill(pid);
    cr_assert_neq(kill(pid, 0), 0, "a killed process must be gone");
    world_remove_dir(w.dir);
}

Test(world_process, signals_are_told_from_codes)
{
    static const char *const argv[] = {"sh", "-c", "kill -TERM $$", NULL};
    cr_assert_eq(world_run(argv, NULL, NULL, 60000), 128 + SIGTERM);
}

Test(world_process, a_missing_program_is_127)
{
    static const char *const argv[] = {"/nonexistent/program", NULL};
    cr_assert_eq(world_run(argv, NULL, NULL, 60000), 127);
}
