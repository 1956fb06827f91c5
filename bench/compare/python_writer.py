"""What a user would write first: records from memory into both tables, by pymysql.

Models the sensor platform's earlier writer as it was found: autocommit on, batches of 500,
one record kept per ip and batch (the last), nodes upserted by ip, their ids read back,
communications by INSERT IGNORE, and a commit (and a rollback) that do nothing. A
connection that is lost is made again and the batch in hand is sent once more.

The log says what producers would have been told: "taken N" once the records before N are
in memory, "flushed A N" once the batch from A to N is through. Records are parsed before
the clock starts. The last line of the output: records and seconds of this run.
"""

import argparse
import json
import time

import pymysql

BATCH = 500
TRIES = 5
PLACE = ("longitude", "latitude", "country", "province", "city", "continent", "isp",
         "asn", "is_china")

# pymysql makes one statement of many rows only where VALUES begins and ends with a
# parameter; else it sends row by row, and is several times slower.
NODES = (
    "INSERT INTO botnet_nodes_{stream} (ip, communication_count, " + ", ".join(PLACE)
    + ", first_seen, last_seen, updated_at) "
    "VALUES (%(ip)s, 1, " + ", ".join(f"%({name})s" for name in PLACE)
    + ", %(at)s, %(at)s, %(at)s) ON DUPLICATE KEY UPDATE "
    + ", ".join(f"{name} = VALUES({name})" for name in PLACE) + ", "
    "first_seen = LEAST(COALESCE(first_seen, VALUES(first_seen)), VALUES(first_seen)), "
    "last_seen = GREATEST(COALESCE(last_seen, VALUES(last_seen)), VALUES(last_seen)), "
    "updated_at = VALUES(updated_at), communication_count = communication_count + 1"
)
COMMUNICATIONS = (
    "INSERT IGNORE INTO botnet_communications_{stream} (node_id, ip, communication_time, "
    + ", ".join(PLACE) + ", event_type) "
    "VALUES (%(node_id)s, %(ip)s, %(at)s, " + ", ".join(f"%({name})s" for name in PLACE)
    + ", %(event_type)s)"
)
for statement in (NODES, COMMUNICATIONS):
    assert pymysql.cursors.RE_INSERT_VALUES.match(statement)


def read_records(path, first):
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number >= first:
                record = json.loads(line)
                record["at"] = record["timestamp"].replace("T", " ").rstrip("Z")
                yield record


def connect(arguments):
    return pymysql.connect(unix_socket=arguments.socket, user="root",
                           database=arguments.database, charset="utf8mb4",
                           autocommit=True, init_command="SET time_zone = '+00:00'")


def flush(connection, stream, batch):
    latest = {record["ip"]: record for record in batch}
    with connection.cursor() as cursor:
        cursor.executemany(NODES.format(stream=stream), list(latest.values()))
        cursor.execute(f"SELECT ip, id FROM botnet_nodes_{stream} WHERE ip IN %s",
                       (list(latest),))
        for ip, node_id in cursor.fetchall():
            latest[ip]["node_id"] = node_id
        cursor.executemany(COMMUNICATIONS.format(stream=stream), list(latest.values()))
    connection.commit()


def flush_surely(connection, arguments, batch):
    for attempt in range(TRIES):
        try:
            flush(connection, arguments.stream, batch)
            return connection
        except pymysql.err.Error:
            if attempt + 1 == TRIES:
                raise
            try:
                connection.rollback()
            except pymysql.err.Error:
                pass
            connection = connect(arguments)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--stream", required=True)
    parser.add_argument("--records", required=True, help="a file, one record a line")
    parser.add_argument("--first", type=int, default=0, help="start with this line")
    parser.add_argument("--log", required=True, help="appended to")
    arguments = parser.parse_args()

    records = list(read_records(arguments.records, arguments.first))
    connection = connect(arguments)
    with open(arguments.log, "a", buffering=1, encoding="ascii") as log:
        begun = time.monotonic()
        for at in range(0, len(records), BATCH):
            batch = records[at:at + BATCH]
            first = arguments.first + at
            log.write(f"taken {first + len(batch)}\n")
            connection = flush_surely(connection, arguments, batch)
            log.write(f"flushed {first} {first + len(batch)}\n")
        took = time.monotonic() - begun
        log.write("end\n")
    print(len(records), f"{took:.6f}", flush=True)


if __name__ == "__main__":
    main()
