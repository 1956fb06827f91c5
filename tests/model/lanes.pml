/* lanes.pml: two lanes of one engine and a database that goes back, for Spin.
 *
 * holdfast.pml has one lane an engine. With several there is a rule more: a lane that
 * finds that the database went back has all of them ask their ledger again, since one
 * with nothing to do would notice only when it next asks. Until then its entries must
 * not go, and no other may rely on its done mark.
 *
 * What a step here stands for (file:function):
 *
 *   Lane asks          replay/lane_compare.c:lane_compare, ops->position; before it
 *                      `doubts` is noted
 *   Lane decides       replay/lane_compare.c:reconcile
 *   Lane rewinds       journal/positions.c:journal_rewind; the writer does it
 *   Lane doubts        replay/lane_compare.c:doubt_all, under the lanes' lock
 *   Lane confirms      replay/lane.c:lane_confirm, under the same lock
 *   Lane applies       replay/lane_apply.c: the compare-and-set and its COMMIT; then
 *                      succeed: lane_confirm, lane_mark_done
 *   Lane waits         replay/layout.c: an entry behind a change of the number of lanes
 *                      waits for all that other lanes have before it
 *   Writer expires     journal/expiry.c:judge, by mark and confirmation
 *   restored           an older state under living connections
 *
 * Left out: all that holdfast.pml has (kills, answers that are lost, other engines).
 * Lane 1's last entry is behind a change of the number of lanes, lane 0's are before it.
 */

#ifndef RESTORES
#define RESTORES 2
#endif
#define LANES 2
#define LAST 2 /* entries of each lane */

/* ---- The database: each lane's ledger, as it is, and as it was dumped --------------- */

byte now[LANES];
byte dumped[LANES];

/* ---- The journal and the engine's memory ------------------------------------------------ */

byte first[LANES]; /* oldest retained */
byte mark[LANES];
bool confirmed[LANES];
byte rewind[LANES]; /* wanted position + 1; 0: none */
byte doubts;        /* of all lanes */

mtype = { ASKING, ASKED, REWINDING, REWOUND, DECIDED, READY, APPLIED, LOST };
mtype lane[LANES] = ASKING;
byte at[LANES];     /* the ledger's position as the lane knows it */
byte asked[LANES];  /* `doubts` before it asked */
bool fresh[LANES];  /* no restore since it asked, or applied */

/* ---- For the properties ---------------------------------------------------------------------- */

bool known; /* a lane has said that the database went back, and it has not again since */
bool sees[LANES]; /* it has been found by this lane, and not yet been said */

#define CONFIRM(l)                                                                       \
    if                                                                                   \
    :: IS_CURRENT(l) -> confirmed[l] = true                                              \
    :: else -> confirmed[l] = false; lane[l] = ASKING                                    \
    fi

#ifdef BUG_NO_DOUBTS
#define IS_CURRENT(l) true
#else
#define IS_CURRENT(l) (asked[l] == doubts)
#endif

inline doubt_all(l)
{
    if
    :: asked[l] == doubts -> asked[l]++
    :: else
    fi;
    doubts++;
#ifndef BUG_DOUBT_ITSELF
    confirmed[0] = false;
    confirmed[1] = false;
#else
    confirmed[l] = false;
#endif
    /* what it found is not older than the last restore */
    known = known || sees[l];
    sees[l] = false
}

/* It goes to where the change is, for lane 1, once lane 0's are known to be applied. */
#define MAY_APPLY(l)                                                                     \
    (at[l] < LAST &&                                                                     \
     ((l) == 0 || at[l] + 1 < LAST || (confirmed[0] && mark[0] == LAST)))

proctype Lane(byte l)
{
end:
    do
    :: atomic { lane[l] == ASKING ->
           confirmed[l] = false;
           asked[l] = doubts;
           at[l] = now[l];
           fresh[l] = true;
           lane[l] = ASKED
       }
    :: atomic { lane[l] == ASKED ->
           if
           :: at[l] != mark[l] && at[l] + 1 < first[l] -> lane[l] = LOST
           :: at[l] == mark[l] -> lane[l] = DECIDED
           :: at[l] < mark[l] && at[l] + 1 >= first[l] ->
               sees[l] = fresh[l];
               rewind[l] = at[l] + 1;
               lane[l] = REWINDING
           fi
       }
    :: atomic { lane[l] == REWINDING && !rewind[l] -> lane[l] = REWOUND }
    :: atomic { lane[l] == REWOUND -> doubt_all(l); lane[l] = DECIDED }
    :: atomic { lane[l] == DECIDED -> lane[l] = READY; CONFIRM(l) }
    :: atomic { lane[l] == READY && MAY_APPLY(l) ->
           if
           :: now[l] != at[l] -> confirmed[l] = false; lane[l] = ASKING
           :: else ->
               /* Where it is known that the database went back, nothing is applied behind
                * a change while it lacks what lies before it. */
               assert(!known || l == 0 || at[l] + 1 < LAST || now[0] == LAST);
               now[l]++;
               fresh[l] = true;
               lane[l] = APPLIED
           fi
       }
    :: atomic { lane[l] == APPLIED ->
           at[l]++;
           lane[l] = READY;
           CONFIRM(l);
           if
           :: at[l] > mark[l] -> mark[l] = at[l]
           :: else
           fi
       }
    /* With nothing to do it asks now and then, and where it is doubted. */
    :: atomic { lane[l] == READY && !MAY_APPLY(l) && (!confirmed[l] || !fresh[l]) ->
           lane[l] = ASKING
       }
    od
}

#define MAY_EXPIRE(l) (confirmed[l] && first[l] <= mark[l])

inline expire(l)
{
    /* Where it is known that the database went back, what it lacks stays. */
    assert(!known || first[l] <= now[l]);
    first[l]++
}

proctype Writer()
{
end:
    do
    :: atomic { rewind[0] -> mark[0] = rewind[0] - 1; rewind[0] = 0 }
    :: atomic { rewind[1] -> mark[1] = rewind[1] - 1; rewind[1] = 0 }
    :: atomic { MAY_EXPIRE(0) -> expire(0) }
    :: atomic { MAY_EXPIRE(1) -> expire(1) }
    od
}

proctype Operator()
{
    byte restores;
end:
    do
    :: atomic { restores < RESTORES && (dumped[0] != now[0] || dumped[1] != now[1]) ->
           if
           :: dumped[0] = now[0]; dumped[1] = now[1]
           :: restores++;
              now[0] = dumped[0];
              now[1] = dumped[1];
              fresh[0] = false;
              fresh[1] = false;
              sees[0] = false;
              sees[1] = false;
              known = false
           fi
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
        run Lane(0);
        run Lane(1);
        run Writer();
        run Operator()
    }
}

#define IN(l) (now[l] == LAST || lane[l] == LOST || now[l] + 1 < first[l])

/* All is applied in the end, or a lane says that more was lost than the journal retains;
 * lane 1 may wait for what lane 0 has lost. */
ltl in_the_end { <>[] (IN(0) && (IN(1) || lane[0] == LOST || now[0] + 1 < first[0])) }
