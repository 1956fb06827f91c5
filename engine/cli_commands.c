#include "engine/cli_commands.h"

enum { ANY_NUMBER = 10000 };

/* clang-format off */
const struct command cli_commands[] = {
    {
        .name = "serve", .arguments = "",
        .summary = "journal, HTTP and replay, until TERM or INT",
        .help = "Takes records over HTTP, keeps them in the journal and applies them to\n"
                "the database. The journal is made where there is none. TERM and INT\n"
                "answer what was read, end the transaction in hand and stop within 10 s;\n"
                "a second one stops at once; HUP reads tokens and alert limits again.\n",
        .options = 0, .run = cli_serve,
    },
    {
        .name = "validate", .arguments = "",
        .summary = "check the configuration, and the tables",
        .help = "Names file, line and key of the first fault. Where there is a journal,\n"
                "streams that were removed while they have entries to apply are refused.\n"
                "\n"
                "  holdfast validate --config holdfast.yaml\n"
                "  holdfast validate --database      also compares the tables\n",
        .options = WITH(DATABASE) | WITH(JSON), .run = cli_validate,
    },
    {
        .name = "ingest", .arguments = "FILE...",
        .summary = "send files, or - for standard input, through the same door",
        .help = "Cuts files (JSON in any form, CSV) at record boundaries and sends them to\n"
                "the running engine; where none runs, into the journal itself. Each part\n"
                "has a key made of the file's name, its place and its bytes, so that the\n"
                "same command run again after a crash adds nothing twice.\n"
                "\n"
                "  holdfast ingest --stream mozi 2026-01-08.json\n"
                "  zcat old.gz | holdfast ingest --stream mozi -\n"
                "  holdfast ingest --stream mozi --url http://10.0.0.7:8640 "
                "--token-file token x.csv\n",
        .options = WITH(STREAM) | WITH(ROUTED) | WITH(URL) | WITH(TOKEN_FILE) |
                   WITH(CA) | WITH(TIMEOUT) | WITH(STRICT) | WITH(QUIET) | WITH(JSON),
        .args_min = 1, .args_max = ANY_NUMBER, .run = cli_ingest,
    },
    {
        .name = "status", .arguments = "",
        .summary = "how it stands: journal, lanes, database",
        .help = "Asks the running engine; where none runs, reads the journal. An overview;\n"
                "--json tells all.\n"
                "\n"
                "  holdfast status --json | jq .\n",
        .options = WITH(JSON), .run = cli_status,
    },
    {
        .name = "pause", .arguments = "",
        .summary = "lanes stand still while intake goes on; survives a restart",
        .help = "Returns once the transactions in hand have ended. Use it around a dump or\n"
                "a restore of the database.\n",
        .options = 0, .run = cli_pause,
    },
    {
        .name = "resume", .arguments = "",
        .summary = "lanes go on after pause",
        .help = "", .options = 0, .run = cli_resume,
    },
    {
        .name = "journal ls", .arguments = "",
        .summary = "list the entries of the journal",
        .help = "  holdfast journal ls --stream mozi --from 1000 --limit 20\n",
        .options = WITH(FROM) | WITH(LIMIT) | WITH(STREAM) | WITH(JSON),
        .run = cli_journal_ls,
    },
    {
        .name = "journal show", .arguments = "SEQ",
        .summary = "one entry: its header and its records",
        .help = "  holdfast journal show 1042 --json\n",
        .options = WITH(JSON), .args_min = 1, .args_max = 1, .run = cli_journal_show,
    },
    {
        .name = "journal verify", .arguments = "",
        .summary = "read every byte: checksums, order, counts, marks",
        .help = "Reads in a child process, since a damaged file can end the reader. Works\n"
                "beside a running engine. Exit 1 where something is not sound.\n",
        .options = WITH(QUIET) | WITH(JSON), .run = cli_journal_verify,
    },
    {
        .name = "journal export", .arguments = "",
        .summary = "the records as JSON, one a line",
        .help = "Each line has seq, index, stream, lane, received_at and the record. Works\n"
                "beside a running engine and ends with what was there when it began.\n"
                "Entries that are no longer held in full are counted on standard error;\n"
                "exit 1 where one could not be read.\n"
                "\n"
                "  holdfast journal export --stream mozi --output mozi.ndjson\n"
                "  holdfast journal export --from 1000 --to 1999 | jq -c .record\n",
        .options = WITH(STREAM) | WITH(FROM) | WITH(TO) | WITH(DEAD_LETTERS) |
                   WITH(OUTPUT) | WITH(QUIET),
        .run = cli_journal_export,
    },
    {
        .name = "journal backup", .arguments = "DIRECTORY",
        .summary = "a verified copy, also of a journal in use",
        .help = "Copies in short steps, beside a running engine, into a new directory, and\n"
                "reads every byte of it again before it gets its name. The copy is the\n"
                "journal at one moment and keeps its id: put it in place of one that is\n"
                "lost. Never run two engines on the same id: where the original still\n"
                "lives, or the database has gone further than the copy, give the copy a\n"
                "new one with `holdfast journal adopt`.\n"
                "\n"
                "  holdfast journal backup /backup/journal-2026-01-08\n",
        .options = WITH(QUIET) | WITH(JSON), .args_min = 1, .args_max = 1,
        .run = cli_journal_backup,
    },
    {
        .name = "journal repair", .arguments = "DIRECTORY",
        .summary = "a sound journal made of a damaged one",
        .help = "Reads the damaged journal as far as it can be read, also entries whose\n"
                "index is gone, and makes a new one in DIRECTORY with the same id, numbers\n"
                "and marks. Each entry that is lost is listed and becomes a gap, which its\n"
                "lane passes only after `holdfast replay --accept-gap`. The damaged journal\n"
                "is not changed: keep it. Without --execute only what would be lost is\n"
                "shown (the new journal is made for that, and removed). Exit 1 where\n"
                "something is lost. No engine may run on it meanwhile.\n"
                "\n"
                "  holdfast journal repair /var/lib/holdfast/journal.new\n"
                "  holdfast journal repair /var/lib/holdfast/journal.new --execute\n",
        .options = WITH(EXECUTE) | WITH(QUIET) | WITH(JSON), .args_min = 1, .args_max = 1,
        .run = cli_journal_repair,
    },
    {
        .name = "journal adopt", .arguments = "",
        .summary = "a new id for a restored or copied journal; it is replayed whole",
        .help = "A lane stops where its ledger and this journal don't belong together: the\n"
                "journal is older than the database, or another engine works on a copy of\n"
                "it. Under a new id all that it holds is applied once more; events that\n"
                "are there already are found as duplicates. What it no longer holds can't\n"
                "be applied and counts as given up under the new id, though it may well\n"
                "be in the database. Shows what it would do; --execute does it, while no\n"
                "engine runs.\n"
                "\n"
                "  holdfast journal adopt\n"
                "  holdfast journal adopt --execute\n",
        .options = WITH(EXECUTE) | WITH(JSON), .run = cli_journal_adopt,
    },
    {
        .name = "deadletter ls", .arguments = "",
        .summary = "list records that could not be applied",
        .help = "  holdfast deadletter ls --stream mozi --reason too_long --limit 20\n",
        .options = WITH(STREAM) | WITH(REASON) | WITH(FROM) | WITH(LIMIT) | WITH(JSON),
        .run = cli_deadletter_ls,
    },
    {
        .name = "deadletter show", .arguments = "SEQ/INDEX",
        .summary = "one dead letter with its bytes and its reason",
        .help = "  holdfast deadletter show 1042/7\n",
        .options = WITH(JSON), .args_min = 1, .args_max = 1, .run = cli_deadletter_show,
    },
    {
        .name = "deadletter accept", .arguments = "",
        .summary = "let a lane go on that stopped after too many dead letters in a row",
        .help = "Needs a running engine.\n"
                "\n"
                "  holdfast deadletter accept --stream mozi --lane 0\n",
        .options = WITH(STREAM) | WITH(LANE), .run = cli_deadletter_accept,
    },
    {
        .name = "deadletter retry", .arguments = "[SEQ/INDEX]",
        .summary = "try dead letters again, with corrected fields where --set says so",
        .help = "Shows which would pass now; --execute hands them in, through the running\n"
                "engine or, where none runs, into the journal itself. A letter becomes\n"
                "`retried` in the same commit, so that none is tried twice; one that is\n"
                "refused once more stays as it is.\n"
                "\n"
                "  holdfast deadletter retry --stream mozi --reason too_long --set isp=x\n"
                "  holdfast deadletter retry 1042/7 --set ip=203.0.113.9 --execute\n",
        .options = WITH(STREAM) | WITH(REASON) | WITH(FROM) | WITH(TO) | WITH(SINCE) |
                   WITH(UNTIL) | WITH(SET) | WITH(EXECUTE) | WITH(JSON),
        .args_max = 1, .run = cli_deadletter_retry,
    },
    {
        .name = "deadletter purge", .arguments = "[SEQ/INDEX]",
        .summary = "give dead letters up: their bytes go, a tombstone stays",
        .help = "Shows what would go; --execute does it, in the running engine or, where\n"
                "none runs, in the journal itself. The records are counted as given up.\n"
                "\n"
                "  holdfast deadletter purge --stream mozi --reason too_long\n"
                "  holdfast deadletter purge 1042/7 --execute\n",
        .options = WITH(STREAM) | WITH(REASON) | WITH(FROM) | WITH(TO) | WITH(SINCE) |
                   WITH(UNTIL) | WITH(EXECUTE) | WITH(JSON),
        .args_max = 1, .run = cli_deadletter_purge,
    },
    {
        .name = "replay", .arguments = "",
        .summary = "apply retained batches again, or go on where entries are gone",
        .help = "--into applies a range of what the journal retains to another database on\n"
                "the same server: a fresh copy, the state at a time, or a restored dump\n"
                "taken further. Tables are made where they are missing. It works beside a\n"
                "running engine, may be interrupted, and adds nothing twice when it is run\n"
                "again. The range takes in whole batches; a time is when they were\n"
                "received. From the beginning, or from where the ledger of that database\n"
                "stands, the result is what the engine would have made by then, and an\n"
                "engine that is pointed at it goes on from there. A range that begins\n"
                "later has a place of its own in that ledger.\n"
                "\n"
                "Without --into it is about the configured database after it went back\n"
                "(a restored dump, commits that the server lost): it says what was lost. A\n"
                "running engine applies that by itself; where none runs, or it is paused,\n"
                "--execute does it.\n"
                "\n"
                "  holdfast replay --to 2026-01-08T12:00:00Z --into botnet_noon\n"
                "  holdfast replay --to 2026-01-08T12:00:00Z --into botnet_noon --execute\n"
                "  holdfast replay --from 1000 --to 1999 --stream mozi --into look --execute\n"
                "\n"
                "A lane stops where the database lacks entries that the journal no longer\n"
                "retains, or that were lost to damage. --accept-gap names exactly which;\n"
                "with --execute the lane passes over just these, and their records are\n"
                "counted as given up. Needs a running engine.\n"
                "\n"
                "  holdfast replay --accept-gap --stream mozi --lane 0\n",
        .options = WITH(FROM) | WITH(TO) | WITH(INTO) | WITH(ACCEPT_GAP) | WITH(STREAM) |
                   WITH(LANE) | WITH(EXECUTE) | WITH(QUIET) | WITH(JSON),
        .run = cli_replay,
    },
    {
        .name = "alert", .arguments = "",
        .summary = "send a test alert to each channel",
        .help = "Once, and at once, to alerts.webhook and alerts.smtp as configured; needs\n"
                "no running engine. Exit 1 where one could not be delivered.\n"
                "\n"
                "  holdfast alert --test\n",
        .options = WITH(TEST), .run = cli_alert,
    },
    {
        .name = "schema", .arguments = "",
        .summary = "print the tables' DDL and the least rights",
        .help = "  holdfast schema --stream mozi\n"
                "  holdfast schema --user holdfast --database-name botnet\n",
        .options = WITH(STREAM) | WITH(USER) | WITH(DATABASE_NAME), .run = cli_schema,
    },
    {
        .name = "audit", .arguments = "",
        .summary = "the law of conservation, over journal, ledger and tables",
        .help = "For every lane, at the ledger's position:\n"
                "accepted = new events + duplicates + conflicts + dead letters + given up,\n"
                "and what lies above it is pending. Works beside a running engine. Exit 1\n"
                "where the sides differ; each difference is named.\n"
                "\n"
                "--deep also reads every applied entry that the journal retains and looks\n"
                "each record up in the tables: events or entities that are missing, events\n"
                "that hold other values than the record that made them, entities that don't\n"
                "know of it. This finds a restore of one table, which no ledger shows. Each\n"
                "is listed as ENTRY/RECORD, both from the journal (`journal show ENTRY`).\n"
                "Dead letters, duplicates and conflicts are none, nor is what is older than\n"
                "check.since. It reads in short statements that lock nothing.\n"
                "\n"
                "  holdfast audit --json\n"
                "  holdfast audit --deep --stream mozi\n",
        .options = WITH(DEEP) | WITH(STREAM) | WITH(QUIET) | WITH(JSON),
        .run = cli_audit,
    },
    {
        .name = "explain", .arguments = "KEY",
        .summary = "one entity's story, from the journal and the database",
        .help = "KEY is the entity's key, such as an ip. For each stream: its row, whether\n"
                "count, first and last time agree with its events; the records of it that\n"
                "the journal retains, each with its entry (seq) and place there (index),\n"
                "when it was journaled and what became of it; its events; dead letters\n"
                "that hold the key; and how far its lanes are applied, and since when. A\n"
                "record `made_its_event`, `met_its_event` (a duplicate or a conflict), is\n"
                "`pending` or `aged` (older than check.since), or is off as `audit --deep`\n"
                "says it. Exit 1 where something is off, or nothing is known. Reads the\n"
                "journal through, beside a running engine.\n"
                "\n"
                "  holdfast explain 203.0.113.9 --stream mozi\n",
        .options = WITH(STREAM) | WITH(LIMIT) | WITH(QUIET) | WITH(JSON),
        .args_min = 1, .args_max = 1, .run = cli_explain,
    },
    {
        .name = "check", .arguments = "",
        .summary = "has every entity its events, and do they agree?",
        .help = "For each stream: entities without events, coverage, events without an\n"
                "entity, counts and first and last times against the events. Reads in\n"
                "short statements that lock nothing, beside a running engine. Entities\n"
                "older than check.since miss nothing. Exit 1 below the threshold.\n"
                "\n"
                "  holdfast check --stream mozi --threshold 99.5\n"
                "  holdfast check --explain      days, runs of ids, likely interruptions\n",
        .options = WITH(STREAM) | WITH(THRESHOLD) | WITH(EXPLAIN) | WITH(QUIET) |
                   WITH(JSON),
        .run = cli_check,
    },
    {
        .name = "repair", .arguments = "",
        .summary = "give entities without events their events back",
        .help = "Shows the plan, and a line that saves the tables first. With --execute\n"
                "it is done, in chunks, each a transaction: events that the journal still\n"
                "retains are written again; each other entity gets one event of type\n"
                "data_recovery at its first time, which the real record replaces should it\n"
                "come. Safe beside a running engine, to interrupt and to run again.\n"
                "\n"
                "  holdfast repair --stream mozi\n"
                "  holdfast repair --stream mozi --execute\n"
                "  holdfast repair --counts --execute    counts and times by the events\n",
        .options = WITH(STREAM) | WITH(COUNTS) | WITH(EXECUTE) | WITH(QUIET) | WITH(JSON),
        .run = cli_repair,
    },
};
/* clang-format on */

const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];
