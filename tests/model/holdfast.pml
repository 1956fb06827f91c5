/* holdfast.pml: the protocol of Holdfast, for Spin.
 *
 * Two engines, each with a journal of its own and one lane in it, write into one database.
 * Both may be killed at any step, a COMMIT may get no answer and arrive late, and the
 * database may lose its last commits. run.sh has the checker walk through every state that
 * this can lead to.
 *
 * What a step here stands for (file:function):
 *
 *   Writer begins      journal/writer.c:transact: change_begin (sample_lanes: marks and
 *                      confirmations as they are now), change_append, apply_rewind
 *                      (journal/positions.c), expiry_run (journal/expiry.c:judge,
 *                      delete_prefix)
 *   Writer syncs       journal/change.c:change_commit: mdb_txn_commit
 *   Writer answers     journal/change.c:publish, journal/writer.c:answer_appends; engine/
 *                      intake.c answers 200 from there
 *   Lane connects      replay/replay.c:connect_worker
 *   Lane asks          replay/lane_compare.c:lane_compare, ops->position
 *                      (replay/sink_mariadb.c:sink_position)
 *   Lane decides       replay/lane_compare.c:reconcile, replay/recover.c:recover_decide,
 *                      journal/positions.c:resolve
 *   Lane rewinds       journal/positions.c:journal_rewind; the writer does it
 *   Lane begins        replay/lane_apply.c:read_run, replay/ledger.c:ledger_advance
 *   Lane locks, looks  replay/apply_entities.c locks the entities' rows, then
 *                      replay/apply_events.c looks their events up
 *   Lane commits       replay/db.c:db_commit; replay/lane_apply.c:succeed,
 *                      journal_confirm, journal_mark_done
 *   no answer          ERR_UNKNOWN, replay/plan.c: PLAN_ASK_LEDGER; replay/lane.c:fail,
 *                      lane_forget_ledger
 *   Lane stops         replay/lane.c:stop, and the slow next try
 *   Killed             SIGKILL or power loss, and the restart: journal/journal.c:
 *                      journal_open, journal/lanes.c:lanes_load
 *
 * Left out, since it changes nothing here: the size of a batch (one record an entry),
 * several streams (each has its own ledger rows), dead letters, room. Several lanes of an
 * engine, of which one finds for all that the database went back, are in lanes.pml.
 *
 * Row locks are modelled by their outcome: of two transactions that touched one row the
 * first to commit wins and the other one comes to nothing. That is what Galera does
 * between nodes; a server alone makes the second one wait, which is the same run with
 * the second one later. So a position may be read here while the COMMIT of the lane's
 * lost connection is still on its way, as it may be on another node.
 *
 * The BUG_ switches each plant a mistake, which the checker must find: so that it is known
 * that the properties say something.
 *
 * A record is a number, given once; a transfer that was never acknowledged is not sent
 * again (as an entry it would be another one). The first record of both engines is the
 * same event of the same entity.
 */

/* The first number is engine 0's, the other one engine 1's. */
#ifndef RECORDS
#define RECORDS 2 /* handed in */
#define OTHER_RECORDS 1
#endif
#ifndef KILLS
#define KILLS 1
#define OTHER_KILLS 0
#endif
#ifndef CUTS
#define CUTS 1 /* of the lane's connection, with a COMMIT on its way */
#define OTHER_CUTS 0
#endif
#ifndef CRASHES
#define CRASHES 1 /* of the database, with the commits lost that were not yet flushed */
#endif
#ifndef RESTORES
#define RESTORES 1 /* of an older state under the living connections */
#endif
#ifndef COPIES
#define COPIES 0 /* of journal 0, older by an entry, put in its place while it is down */
#endif
#ifndef EXPIRY
#define EXPIRY 1 /* entries may be over their time */
#endif

#define ENGINES 2
#define SEQS 3 /* highest seq + 1 */
#if RECORDS > 2
#undef SEQS
#define SEQS 4
#endif
#define RECORDS_OF(e) ((e) == 0 -> RECORDS : OTHER_RECORDS)
#define KILLS_OF(e) ((e) == 0 -> KILLS : OTHER_KILLS)
#define CUTS_OF(e) ((e) == 0 -> CUTS : OTHER_CUTS)
#define ENTRY(e, seq) entry[(e) * SEQS + (seq)]
#define BIT(record) (1 << (record))

/* ---- The database: as it is, and as far as it is flushed ------------------------------ */

typedef Database {
    byte at[ENGINES];      /* ledger: applied_seq */
    byte sum[ENGINES];     /* ledger: applied_sum, here the record of that entry */
    byte applied[ENGINES]; /* which records are in */
    bool event;            /* the one that both engines send */
    byte count             /* the entity's count of new events */
};
Database now;
Database flushed;
Database nothing;
byte crashes = CRASHES; /* to come */
byte restores = RESTORES;

/* A COMMIT whose connection is gone: it may still arrive. */
bool late[ENGINES];
byte late_from[ENGINES];
byte late_to[ENGINES];
byte late_base[ENGINES];
byte late_count[ENGINES];
bool late_new[ENGINES];

/* ---- The journals, on disk -------------------------------------------------------------- */

byte entry[ENGINES * SEQS]; /* seq -> record; what is expired stays, for the properties */
byte first[ENGINES];        /* oldest retained */
byte last[ENGINES];
byte done[ENGINES]; /* the done mark */

/* ---- The engines' memory ------------------------------------------------------------------ */

byte given[ENGINES];     /* records handed in so far */
byte published[ENGINES]; /* last entry that readers see */
byte mark[ENGINES];      /* the done mark, maybe newer than the disk's */
bool confirmed[ENGINES];

mtype = { IDLE, BEGUN, SYNCED };
mtype writer[ENGINES] = IDLE;
byte next_last[ENGINES];
byte next_first[ENGINES];
byte next_done[ENGINES];
byte rewind[ENGINES];  /* wanted position + 1; 0: none */
bool rewinds[ENGINES]; /* it is in the transaction in hand */

mtype = { ASKING, ASKED, REWINDING, READY, OPEN, LOCKED, COMMITTING, LOST, OTHER, STOPPED };
mtype lane[ENGINES] = ASKING;
bool connection[ENGINES];
byte at[ENGINES];  /* the ledger's position as the lane knows it, */
byte sum[ENGINES]; /* and its sum */
byte to[ENGINES];  /* what the transaction in hand moves it to */
byte base[ENGINES];
byte count[ENGINES];
bool new_event[ENGINES];

/* ---- For the properties ---------------------------------------------------------------------- */

byte acknowledged[ENGINES]; /* records whose sender has the answer */
bool asked[ENGINES];        /* the lane has read its ledger row on this connection */
bool fresh[ENGINES];        /* and nothing has changed that row behind its back since */

#define HELD(e, record)                                                                  \
    ((ENTRY(e, 1) == (record) && first[e] <= 1 && last[e] >= 1) ||                       \
     (ENTRY(e, 2) == (record) && first[e] <= 2 && last[e] >= 2) ||                       \
     (SEQS > 3 && ENTRY(e, SEQS - 1) == (record) && first[e] <= 3 && last[e] >= 3))

/* The ledger is before the first entry retained: what lies between can't be applied, and
 * everybody can see it. */
#define SHOWS_LOSS(e) (now.at[e] + 1 < first[e])

#define SAFE(e, record)                                                                  \
    (!(acknowledged[e] & BIT(record)) || (now.applied[e] & BIT(record)) ||               \
     HELD(e, record) || SHOWS_LOSS(e))
#define APPLIED(e) ((acknowledged[e] & ~now.applied[e]) == 0)

/* Without a database that forgets, nothing may ever be missing. */
inline nothing_lost()
{
    assert(SAFE(0, 1) && SAFE(0, 2) && SAFE(0, 3));
    assert(SAFE(1, 1) && SAFE(1, 2));
    assert(CRASHES + RESTORES > 0 || (!SHOWS_LOSS(0) && !SHOWS_LOSS(1)))
}

/* ---- The writer ----------------------------------------------------------------------------------- */

#define MAY_EXPIRE(e, position)                                                          \
    (EXPIRY && confirmed[e] && first[e] <= (position) && first[e] <= last[e])

inline begin_change(e)
{
    next_last[e] = last[e];
    next_first[e] = first[e];
    next_done[e] = mark[e];
    if
    :: rewind[e] ->
        next_done[e] = rewind[e] - 1;
        rewinds[e] = true
    :: else
    fi;
    do
    :: given[e] < RECORDS_OF(e) ->
        given[e]++;
        next_last[e]++;
        ENTRY(e, next_last[e]) = given[e];
#ifdef BUG_ACKNOWLEDGE_EARLY
        acknowledged[e] = acknowledged[e] | BIT(given[e])
#endif
    :: break
    od;
    if
    :: MAY_EXPIRE(e, next_done[e]) ->
        /* Expiry asks for the mark and the confirmation, and must never take what the
         * database, as this engine last saw it, still needs. */
        assert(!fresh[e] || next_first[e] <= now.at[e]);
        next_first[e]++
    :: true
    fi;
    if
    :: next_last[e] == last[e] && next_first[e] == first[e] && next_done[e] == done[e] &&
       !rewinds[e] -> /* nothing to commit */
        next_last[e] = 0;
        next_first[e] = 0;
        next_done[e] = 0
    :: else -> writer[e] = BEGUN
    fi
}

inline sync(e)
{
    last[e] = next_last[e];
    first[e] = next_first[e];
    done[e] = next_done[e];
    writer[e] = SYNCED
}

inline answer(e)
{
    seq = published[e] + 1;
    do
    :: seq <= last[e] ->
        acknowledged[e] = acknowledged[e] | BIT(ENTRY(e, seq));
        seq++
    :: else -> break
    od;
    seq = 0;
    published[e] = last[e];
    if
    :: rewinds[e] -> /* marks set meanwhile belong to the time before */
        mark[e] = done[e];
        rewind[e] = 0;
        rewinds[e] = false
    :: else
    fi;
    next_last[e] = 0;
    next_first[e] = 0;
    next_done[e] = 0;
    writer[e] = IDLE
}

#define HAS_WORK(e)                                                                      \
    (given[e] < RECORDS_OF(e) || rewind[e] || mark[e] != done[e] || MAY_EXPIRE(e, mark[e]))

proctype Writer(byte e)
{
    byte seq;
end:
    do
    :: atomic { writer[e] == IDLE && HAS_WORK(e) -> begin_change(e); nothing_lost() }
    :: atomic { writer[e] == BEGUN -> sync(e); nothing_lost() }
    :: atomic { writer[e] == SYNCED -> answer(e); nothing_lost() }
    od
}

/* ---- The lane ------------------------------------------------------------------------------------------ */

inline forget_transaction(e)
{
    to[e] = 0;
    base[e] = 0;
    count[e] = 0;
    new_event[e] = false
}

inline disconnect(e)
{
    connection[e] = false;
    confirmed[e] = false;
    asked[e] = false;
    fresh[e] = false;
    forget_transaction(e);
#ifndef BUG_UNKNOWN_IS_FAILED
    at[e] = 0;
    sum[e] = 0;
#endif
    lane[e] = ASKING
}

inline ask(e)
{
    at[e] = now.at[e];
    sum[e] = now.sum[e];
    asked[e] = true;
    fresh[e] = true;
    lane[e] = ASKED
}

/* Only where nothing has changed since it was asked: else the mark may be too high, as
 * the next comparison will find. */
inline set_mark(e, position)
{
    assert(!fresh[e] || now.at[e] >= position);
    if
    :: position > mark[e] -> mark[e] = position
    :: else
    fi
}

inline be_ready(e)
{
    confirmed[e] = true;
    lane[e] = READY
}

#ifdef BUG_NO_SUM
#define OTHER_SUM(e) false
#else
#define OTHER_SUM(e) (sum[e] != ENTRY(e, at[e]))
#endif

inline decide(e)
{
    if
    :: at[e] != 0 && at[e] + 1 >= first[e] && at[e] <= published[e] &&
       OTHER_SUM(e) -> lane[e] = OTHER
    :: at[e] > published[e] -> lane[e] = OTHER
    :: at[e] != mark[e] && at[e] + 1 < first[e] -> lane[e] = LOST
    :: else ->
        if
        :: at[e] >= mark[e] ->
            set_mark(e, at[e]);
            be_ready(e)
        :: else ->
#ifdef BUG_EXPIRE_IN_REWIND
            be_ready(e)
#else
            rewind[e] = at[e] + 1;
            lane[e] = REWINDING
#endif
        fi
    fi;
    if
    :: lane[e] == LOST || lane[e] == OTHER -> confirmed[e] = false
    :: else
    fi
}

#define TOUCHES_ENTITY(e, from) ((from) == 1 && ENTRY(e, 1) == 1)

/* Another node, or the restore of an older state, can move the row between the question
 * and this. */
inline begin_transaction(e)
{
#ifndef BUG_NO_COMPARE
    /* The fate of a COMMIT without an answer is asked for, never guessed. */
    assert(asked[e]);
#endif
    if
#ifndef BUG_NO_COMPARE
    :: now.at[e] != at[e] || now.sum[e] != sum[e] ->
        assert(!fresh[e]);
        confirmed[e] = false;
        to[e] = 0;
#ifdef BUG_STOP_FOR_GOOD
        lane[e] = STOPPED
#else
        lane[e] = ASKING
#endif
#endif
    :: else ->
        base[e] = now.at[e];
        if
        :: TOUCHES_ENTITY(e, at[e] + 1) -> lane[e] = OPEN
        :: else -> lane[e] = COMMITTING
        fi
    fi
}

/* The transaction of entries `from` to `upto`, if it is the first to commit. */
inline commit(e, from, upto, seen_at, seen_count, is_new, out_committed)
{
    if
    :: now.at[e] != seen_at || (TOUCHES_ENTITY(e, from) && now.count != seen_count) ->
        out_committed = false
    :: else ->
        seq = from;
        do
        :: seq <= upto ->
            assert(!(now.applied[e] & BIT(ENTRY(e, seq)))); /* never twice */
            now.applied[e] = now.applied[e] | BIT(ENTRY(e, seq));
            seq++
        :: else -> break
        od;
        seq = 0;
        assert(from <= now.at[e] + 1); /* none left out */
        if
        :: TOUCHES_ENTITY(e, from) ->
            now.count = now.count + is_new;
            now.event = true
        :: else
        fi;
        assert(now.count == now.event); /* each new event is counted once */
        now.at[e] = upto;
        now.sum[e] = ENTRY(e, upto);
        out_committed = true
    fi
}

inline succeed(e)
{
    at[e] = to[e];
    sum[e] = ENTRY(e, to[e]);
    set_mark(e, at[e]);
    forget_transaction(e);
    be_ready(e)
}

inline lose_answer(e)
{
    late[e] = true;
    late_from[e] = at[e] + 1;
    late_to[e] = to[e];
    late_base[e] = base[e];
    late_count[e] = count[e];
    late_new[e] = new_event[e]
}

inline forget_late(e)
{
    late[e] = false;
    late_from[e] = 0;
    late_to[e] = 0;
    late_base[e] = 0;
    late_count[e] = 0;
    late_new[e] = false
}

#define LOOK_UP(e) new_event[e] = TOUCHES_ENTITY(e, at[e] + 1) && !now.event
#define LOCK(e) count[e] = (TOUCHES_ENTITY(e, at[e] + 1) -> now.count : 0)

proctype Lane(byte e)
{
    byte seq;
    bool committed;
    byte cuts;
end:
    do
    :: atomic { lane[e] == ASKING ->
#ifdef BUG_UNKNOWN_IS_FAILED
           if
           :: !connection[e] && at[e] > 0 -> be_ready(e)
           :: else -> ask(e)
           fi;
#else
           ask(e);
#endif
           connection[e] = true
       }
    :: atomic { lane[e] == ASKED -> decide(e); nothing_lost() }
    :: atomic { lane[e] == REWINDING && !rewind[e] -> be_ready(e) }

    /* One entry, or all that there are. */
    :: atomic { lane[e] == READY && connection[e] && at[e] < published[e] &&
       at[e] + 1 >= first[e] ->
           if
           :: to[e] = at[e] + 1
           :: to[e] = published[e]
           fi;
           begin_transaction(e)
       }
    :: atomic { lane[e] == READY && at[e] < published[e] && at[e] + 1 < first[e] ->
           confirmed[e] = false;
           lane[e] = LOST
       }
    /* A lane with nothing to do asks again from time to time. */
    :: atomic { lane[e] == READY && connection[e] && at[e] == published[e] && !fresh[e] ->
#ifndef BUG_ASK_CONFIRMED
           confirmed[e] = false;
#endif
           lane[e] = ASKING
       }
    :: atomic { lane[e] == OPEN && connection[e] ->
#ifdef BUG_LOOK_UP_FIRST
           LOOK_UP(e);
#else
           LOCK(e);
#endif
           lane[e] = LOCKED
       }
    :: atomic { lane[e] == LOCKED && connection[e] ->
#ifdef BUG_LOOK_UP_FIRST
           LOCK(e);
#else
           LOOK_UP(e);
#endif
#ifdef BUG_MARK_EARLY
           set_mark(e, to[e]);
#endif
           lane[e] = COMMITTING
       }
    :: atomic { lane[e] == COMMITTING && connection[e] ->
           commit(e, at[e] + 1, to[e], base[e], count[e], new_event[e], committed);
           if
           :: committed -> committed = false; fresh[e] = true; succeed(e)
           :: else -> forget_transaction(e); lane[e] = READY /* 1213: once more */
           fi;
           nothing_lost()
       }
    :: atomic { lane[e] == COMMITTING && connection[e] && cuts < CUTS_OF(e) && !late[e] ->
           cuts++;
           lose_answer(e);
           disconnect(e)
       }
    /* The server was gone; found at the next use of the connection. */
    :: atomic { !connection[e] && lane[e] != ASKING && lane[e] != ASKED &&
       lane[e] != REWINDING && (lane[e] != READY || at[e] < published[e] || !fresh[e]) ->
           disconnect(e)
       }
    /* What has stopped tries again, slowly. */
    :: atomic { (lane[e] == LOST || lane[e] == OTHER) && connection[e] ->
           lane[e] = ASKING
       }
    od
}

/* ---- What the database does by itself --------------------------------------------------------------- */

inline copy(from, into)
{
    into.at[0] = from.at[0];
    into.at[1] = from.at[1];
    into.sum[0] = from.sum[0];
    into.sum[1] = from.sum[1];
    into.applied[0] = from.applied[0];
    into.applied[1] = from.applied[1];
    into.event = from.event;
    into.count = from.count
}

#define IS_FLUSHED                                                                       \
    (now.at[0] == flushed.at[0] && now.at[1] == flushed.at[1] &&                         \
     now.event == flushed.event)

inline arrive(e)
{
    commit(e, late_from[e], late_to[e], late_base[e], late_count[e], late_new[e], arrived);
    if
    :: arrived -> arrived = false; fresh[e] = false
    :: else
    fi;
    forget_late(e)
}

proctype Server()
{
    byte seq;
    bool arrived;
end:
    do
    :: atomic { crashes + restores > 0 && !IS_FLUSHED -> copy(now, flushed) }
    :: atomic { late[0] -> arrive(0); nothing_lost() }
    :: atomic { late[1] -> arrive(1); nothing_lost() }
    :: atomic { late[0] -> forget_late(0) }
    :: atomic { late[1] -> forget_late(1) }
    od
}

/* ---- Faults: each may happen, or never ------------------------------------------------------------- */

/* At any step; what was not synced is gone, and what was sent to the database may arrive. */
inline kill_engine(e)
{
    if
    :: lane[e] == COMMITTING && connection[e] && !late[e] -> lose_answer(e)
    :: true
    fi;
    if
    :: COPIES && e == 0 && last[e] > first[e] -> /* what was only in there is gone with it */
        if
        :: !(now.applied[e] & BIT(ENTRY(e, last[e]))) ->
            acknowledged[e] = acknowledged[e] & ~BIT(ENTRY(e, last[e]))
        :: else
        fi;
        last[e]--;
        if
        :: done[e] > last[e] -> done[e] = last[e]
        :: else
        fi
    :: true
    fi;
    seq = last[e] + 1;
    do
    :: seq < SEQS -> ENTRY(e, seq) = 0; seq++
    :: else -> break
    od;
    seq = 0;
    disconnect(e);
    at[e] = 0;
    sum[e] = 0;
    writer[e] = IDLE;
    next_last[e] = 0;
    next_first[e] = 0;
    next_done[e] = 0;
    rewind[e] = 0;
    rewinds[e] = false;
    published[e] = last[e];
    mark[e] = done[e]
}

proctype Killer(byte e)
{
    byte seq;
    byte kills;
end:
    do
    :: atomic { kills < KILLS_OF(e) -> kills++; kill_engine(e); nothing_lost() }
#ifdef LIVENESS
    :: break /* fairness must not force it */
#endif
    od
}

/* What is not needed any more would only make states differ. */
inline lose(left)
{
    copy(flushed, now);
    left--;
    fresh[0] = false;
    fresh[1] = false;
    if
    :: crashes == 0 && restores == 0 -> copy(nothing, flushed)
    :: else
    fi
}

#define IN_TRANSACTION(e) (lane[e] == OPEN || lane[e] == LOCKED || lane[e] == COMMITTING)

/* It crashes, and every connection with it; or somebody restores an older state under the
 * living ones, which waits for open transactions. */
proctype Loser()
{
end:
    do
    :: atomic { crashes > 0 ->
           lose(crashes);
           connection[0] = false;
           connection[1] = false;
           forget_late(0);
           forget_late(1);
           nothing_lost()
       }
    :: atomic { restores > 0 && !late[0] && !late[1] && !IN_TRANSACTION(0) &&
       !IN_TRANSACTION(1) ->
           lose(restores);
           nothing_lost()
       }
#ifdef LIVENESS
    :: break
#endif
    od
}

init
{
    atomic {
        first[0] = 1;
        first[1] = 1;
        run Writer(0);
        run Writer(1);
        run Lane(0);
        run Lane(1);
        run Server();
        run Killer(0);
        run Killer(1);
        run Loser()
    }
}

/* What is acknowledged is applied in the end, and stays; or a lane says that the database
 * lost more than the journal retains. */
#if EXPIRY
ltl in_the_end
{
    <>[] ((APPLIED(0) || lane[0] == LOST || SHOWS_LOSS(0)) &&
          (APPLIED(1) || lane[1] == LOST || SHOWS_LOSS(1)))
}
#else
ltl in_the_end { <>[] (APPLIED(0) && APPLIED(1)) }
#endif
