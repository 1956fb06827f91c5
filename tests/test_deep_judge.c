/* What a record and the database say together, without either. */
#include "audit/deep_judge.h"
#include "tests/specs.h"

#include <criterion/criterion.h>

/* A record whose entity and event are there, and agree. */
struct scene {
    struct stream *stream;
    struct value values[STREAM_FIELDS_MAX];
    struct apply_record record;
    bool columns[STREAM_COLUMNS_MAX];
    struct lookup_fact fact;
    struct deep_ground ground;
};

enum { NOON_US = 43200 };

static void set_up(struct scene *scene)
{
    struct stream_spec spec = botnet_spec("mozi");
    *scene = (struct scene){.stream = NULL};
    cr_assert_eq(stream_new(&spec, &scene->stream, NULL, &(struct err){0}), 0);
    scene->values[scene->stream->time_field] =
        (struct value){.type = VALUE_TIME, .time_us = NOON_US};
    scene->record.values = scene->values;
    scene->fact = (struct lookup_fact){.record = &scene->record,
                                       .first = true,
                                       .entity_id = 7,
                                       .has_last = true,
                                       .last_known = true,
                                       .last_us = NOON_US,
                                       .event_id = 9,
                                       .event_entity = 7,
                                       .received_here = true,
                                       .columns = scene->columns};
    scene->ground = (struct deep_ground){
        .stream = scene->stream, .cutoff_us = INT64_MIN, .met = true, .differed = true};
}

static void expect(struct scene *scene, enum deep_verdict verdict, enum deep_kind kind)
{
    enum deep_kind found = DEEP_KIND_COUNT;
    cr_assert_eq(deep_judge(&scene->fact, &scene->ground, &found), verdict);
    if (verdict == DEEP_GAP || verdict == DEEP_SUSPECT) {
        cr_assert_eq(found, kind, "%d, not %d", found, kind);
    }
    stream_free(scene->stream);
}

/* An event column that the record says something else about. */
static void differ(struct scene *scene, const char *name)
{
    const struct stream_table *table = &scene->stream->event;
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->columns[i].name, name) == 0) {
            scene->columns[i] = true;
            scene->fact.differs = true;
        }
    }
    cr_assert(scene->fact.differs, "no column %s", name);
}

Test(deep_judge, all_is_as_it_should_be)
{
    struct scene scene;
    set_up(&scene);
    expect(&scene, DEEP_AGREES, DEEP_KIND_COUNT);
}

Test(deep_judge, what_is_not_there)
{
    struct scene scene;
    set_up(&scene);
    scene.fact.event_id = 0;
    expect(&scene, DEEP_GAP, DEEP_EVENT_MISSING);
    set_up(&scene);
    scene.fact.entity_id = 0;
    expect(&scene, DEEP_GAP, DEEP_ENTITY_MISSING);
    set_up(&scene);
    scene.fact.event_id = 0;
    scene.fact.entity_id = 0;
    expect(&scene, DEEP_GAP, DEEP_BOTH_MISSING);
}

Test(deep_judge, what_is_older_than_events_are_kept)
{
    struct scene scene;
    set_up(&scene);
    scene.fact.event_id = 0;
    scene.ground.cutoff_us = NOON_US;
    expect(&scene, DEEP_GAP, DEEP_EVENT_MISSING);
    set_up(&scene);
    scene.fact.event_id = 0;
    scene.ground.cutoff_us = NOON_US + 1;
    expect(&scene, DEEP_AGED, DEEP_KIND_COUNT);
}

Test(deep_judge, an_event_of_another_entity)
{
    struct scene scene;
    set_up(&scene);
    scene.fact.event_entity = 8;
    expect(&scene, DEEP_GAP, DEEP_OTHER_ENTITY);
}

Test(deep_judge, an_entity_that_does_not_know_of_the_record)
{
    struct scene scene;
    set_up(&scene);
    scene.fact.last_us = NOON_US - 1;
    expect(&scene, DEEP_GAP, DEEP_ENTITY_BEHIND);
    set_up(&scene);
    scene.fact.last_known = false;
    expect(&scene, DEEP_GAP, DEEP_ENTITY_BEHIND);
    set_up(&scene);
    scene.fact.last_known = false;
    scene.fact.has_last = false;
    expect(&scene, DEEP_AGREES, DEEP_KIND_COUNT);
}

Test(deep_judge, an_event_that_stands_in)
{
    struct scene scene;
    set_up(&scene);
    differ(&scene, "event_type");
    scene.fact.stands_in = true;
    scene.fact.received_here = false;
    expect(&scene, DEEP_GAP, DEEP_STANDS_IN);
}

Test(deep_judge, other_values_in_a_lane_that_met_nothing)
{
    struct scene scene;
    set_up(&scene);
    differ(&scene, "country");
    scene.fact.received_here = false;
    scene.ground.met = false;
    scene.ground.differed = false;
    expect(&scene, DEEP_GAP, DEEP_ALTERED);
}

Test(deep_judge, other_values_where_there_were_duplicates)
{
    struct scene scene;
    set_up(&scene);
    differ(&scene, "country"); /* not compared: a duplicate may say something else */
    scene.fact.received_here = false;
    scene.ground.differed = false;
    expect(&scene, DEEP_OTHERS, DEEP_KIND_COUNT);
    set_up(&scene);
    differ(&scene, "event_type"); /* compared: this would have been a conflict */
    scene.fact.received_here = false;
    scene.ground.differed = false;
    expect(&scene, DEEP_GAP, DEEP_ALTERED);
    set_up(&scene);
    differ(&scene, "event_type");
    scene.fact.received_here = false;
    expect(&scene, DEEP_OTHERS, DEEP_KIND_COUNT);
}

Test(deep_judge, other_values_in_an_event_of_this_moment)
{
    struct scene scene;
    set_up(&scene);
    differ(&scene, "country");
    expect(&scene, DEEP_SUSPECT, DEEP_ALTERED);
}

Test(deep_judge, later_records_of_an_event_are_no_measure)
{
    struct scene scene;
    set_up(&scene);
    differ(&scene, "country");
    scene.fact.first = false;
    expect(&scene, DEEP_AGREES, DEEP_KIND_COUNT);
}
