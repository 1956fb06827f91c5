#include "schema/ddl.h"
#include "tests/specs.h"

#include <criterion/criterion.h>

static void assert_text(struct buf *out, const char *expected)
{
    cr_assert_str_eq(buf_text(out), expected);
    buf_free(out);
}

Test(ddl, botnet_tables)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    struct buf out = {0};
    ddl_append_entity_table(&out, stream);
    assert_text(&out,
                "CREATE TABLE IF NOT EXISTS `botnet_nodes_mozi` (\n"
                "  `id` INT NOT NULL AUTO_INCREMENT,\n"
                "  `ip` VARCHAR(15) NOT NULL,\n"
                "  `longitude` FLOAT DEFAULT NULL,\n"
                "  `latitude` FLOAT DEFAULT NULL,\n"
                "  `country` VARCHAR(50) DEFAULT NULL,\n"
                "  `province` VARCHAR(50) DEFAULT NULL,\n"
                "  `city` VARCHAR(50) DEFAULT NULL,\n"
                "  `continent` VARCHAR(50) DEFAULT NULL,\n"
                "  `isp` VARCHAR(255) DEFAULT NULL,\n"
                "  `asn` VARCHAR(50) DEFAULT NULL,\n"
                "  `status` ENUM('active','inactive','cleaned') DEFAULT 'active',\n"
                "  `first_seen` TIMESTAMP NULL DEFAULT NULL,\n"
                "  `last_seen` TIMESTAMP NULL DEFAULT NULL,\n"
                "  `cleaned_time` TIMESTAMP NULL DEFAULT NULL,\n"
                "  `communication_count` INT DEFAULT 0,\n"
                "  `created_time` TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,\n"
                "  `updated_at` TIMESTAMP NULL DEFAULT NULL,\n"
                "  `is_china` TINYINT(1) DEFAULT 0,\n"
                "  PRIMARY KEY (`id`),\n"
                "  UNIQUE KEY `uk_ip` (`ip`),\n"
                "  KEY `idx_ip` (`ip`),\n"
                "  KEY `idx_country_province_city` (`country`, `province`, `city`),\n"
                "  KEY `idx_status` (`status`),\n"
                "  KEY `idx_first_seen` (`first_seen`),\n"
                "  KEY `idx_last_seen` (`last_seen`),\n"
                "  KEY `idx_cleaned_time` (`cleaned_time`),\n"
                "  KEY `idx_communication_count` (`communication_count`),\n"
                "  KEY `idx_is_china` (`is_china`)\n"
                ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci");
    ddl_append_event_table(&out, stream);
    assert_text(&out,
                "CREATE TABLE IF NOT EXISTS `botnet_communications_mozi` (\n"
                "  `id` BIGINT NOT NULL AUTO_INCREMENT,\n"
                "  `node_id` INT NOT NULL,\n"
                "  `ip` VARCHAR(15) NOT NULL,\n"
                "  `communication_time` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,\n"
                "  `received_at` TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,\n"
                "  `longitude` FLOAT DEFAULT NULL,\n"
                "  `latitude` FLOAT DEFAULT NULL,\n"
                "  `country` VARCHAR(50) DEFAULT NULL,\n"
                "  `province` VARCHAR(50) DEFAULT NULL,\n"
                "  `city` VARCHAR(50) DEFAULT NULL,\n"
                "  `continent` VARCHAR(50) DEFAULT NULL,\n"
                "  `isp` VARCHAR(255) DEFAULT NULL,\n"
                "  `asn` VARCHAR(50) DEFAULT NULL,\n"
                "  `event_type` VARCHAR(50) DEFAULT NULL,\n"
                "  `status` VARCHAR(50) DEFAULT 'active',\n"
                "  `is_china` TINYINT(1) DEFAULT 0,\n"
                "  PRIMARY KEY (`id`),\n"
                "  UNIQUE KEY `uk_ip_communication_time` (`ip`, `communication_time`),\n"
                "  KEY `idx_node_id` (`node_id`),\n"
                "  KEY `idx_communication_time` (`communication_time`),\n"
                "  KEY `idx_country_province_city` (`country`, `province`, `city`),\n"
                "  CONSTRAINT `fk_botnet_communications_mozi` FOREIGN KEY (`node_id`) "
                "REFERENCES `botnet_nodes_mozi` (`id`) ON DELETE RESTRICT\n"
                ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci");
    stream_free(stream);
}

static void assert_holds(struct buf *out, const char *part)
{
    cr_assert_not_null(strstr(buf_text(out), part), "%s\nlacks %s", buf_text(out), part);
}

Test(ddl, string_keys_are_binary_and_types_are_as_wide_as_configured)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct buf out = {0};
    ddl_append_entity_table(&out, stream);
    assert_holds(&out, "`serial` VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin "
                       "NOT NULL,");
    assert_holds(&out, "`model` VARCHAR(40) DEFAULT NULL,");
    assert_holds(&out, "`first_seen` DATETIME(3) DEFAULT NULL,");
    assert_holds(&out, "`highest` BIGINT DEFAULT NULL,");
    assert_holds(&out, "`lowest` DOUBLE DEFAULT NULL,");
    assert_holds(&out, "`reading_count` BIGINT UNSIGNED NOT NULL DEFAULT 0,");
    buf_free(&out);
    ddl_append_event_table(&out, stream);
    assert_holds(&out, "`serial` VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    assert_holds(&out, "`at` DATETIME(3) NOT NULL,");
    assert_holds(&out, "`received_at` TIMESTAMP(6) NULL DEFAULT NULL,");
    assert_holds(&out, "`quality` SMALLINT UNSIGNED DEFAULT NULL,");
    assert_holds(&out, "UNIQUE KEY `uk_serial_at_probe` (`serial`, `at`, `probe`)");
    assert_holds(&out, "`device_id` BIGINT NOT NULL,");
    buf_free(&out);
    stream_free(stream);
}

Test(ddl, quotes)
{
    struct buf out = {0};
    ddl_append_identifier(&out, "a`b");
    assert_text(&out, "`a``b`");
    static const char *const members[] = {"it's", "b"};
    struct stream_column column = {.type = COLUMN_ENUM,
                                   .spec = {.members = members, .member_count = 2}};
    ddl_append_type(&out, &column);
    assert_text(&out, "ENUM('it''s','b')");
}

Test(ddl, grants)
{
    struct stream_spec specs[] = {botnet_spec("mozi"), readings_spec(), readings_spec()};
    specs[2].name = "other"; /* shares the table of devices with plant */
    struct stream *streams[3];
    for (int i = 0; i < 3; i++) {
        streams[i] = stream_of(&specs[i]);
    }
    const struct stream *const *list = (const struct stream *const *)streams;
    struct buf out = {0};
    struct ddl_rights least = {"bot`net", "o'hold\\fast", "holdfast_ledger", false};
    ddl_append_grants(&out, list, 1, &least);
    assert_text(&out,
                "GRANT CREATE TEMPORARY TABLES ON `bot``net`.* TO "
                "'o''hold\\\\fast'@'%';\n"
                "GRANT SELECT, INSERT, UPDATE ON `bot``net`.`holdfast_ledger` TO "
                "'o''hold\\\\fast'@'%';\n"
                "GRANT SELECT, INSERT, UPDATE ON `bot``net`.`botnet_nodes_mozi` TO "
                "'o''hold\\\\fast'@'%';\n"
                "GRANT SELECT, INSERT, UPDATE ON `bot``net`.`botnet_communications_mozi` "
                "TO 'o''hold\\\\fast'@'%';\n");
    struct ddl_rights creating = {"d_%", "u", "l", true};
    ddl_append_grants(&out, list + 1, 2, &creating);
    assert_text(
        &out,
        "GRANT CREATE TEMPORARY TABLES ON `d\\_\\%`.* TO 'u'@'%';\n"
        "GRANT SELECT, INSERT, UPDATE, CREATE ON `d_%`.`l` TO 'u'@'%';\n"
        "GRANT SELECT, INSERT, UPDATE, CREATE, REFERENCES ON `d_%`.`devices` TO "
        "'u'@'%';\n"
        "GRANT SELECT, INSERT, UPDATE, CREATE ON `d_%`.`readings_plant` TO 'u'@'%';\n"
        "GRANT SELECT, INSERT, UPDATE, CREATE ON `d_%`.`readings_other` TO 'u'@'%';\n");
    for (int i = 0; i < 3; i++) {
        stream_free(streams[i]);
    }
}

/* ---- Comparison ------------------------------------------------------------------- */

enum { FOUND_MAX = 20 };

#define FOUND(n, d, c, ...)                                                              \
    {                                                                                    \
        .name = n, .data_type = d, .column_type = c, __VA_ARGS__                         \
    }
#define TEXT(n, d, c, max, ...)                                                          \
    FOUND(n, d, c, .collation = "utf8mb4_unicode_ci", .characters_max = max, __VA_ARGS__)
#define NULLABLE .nullable = true, .has_default = true

/* The readings' device table as a server shows it. */
static size_t found_devices(struct ddl_found_column found[FOUND_MAX])
{
    /* clang-format off */
    const struct ddl_found_column columns[] = {
        FOUND("id", "bigint", "bigint(20)", .auto_increment = true),
        FOUND("serial", "varchar", "varchar(64)", .collation = "utf8mb4_bin",
              .characters_max = 64),
        TEXT("model", "varchar", "varchar(40)", 40, NULLABLE),
        TEXT("firmware", "varchar", "varchar(40)", 40, NULLABLE),
        FOUND("first_seen", "datetime", "datetime(3)", .precision = 3, NULLABLE),
        FOUND("last_seen", "datetime", "datetime(3)", .precision = 3, NULLABLE),
        FOUND("highest", "bigint", "bigint(20)", NULLABLE),
        FOUND("lowest", "double", "double", NULLABLE),
        TEXT("state", "enum", "enum('ok','failing','lost')", 7, NULLABLE),
        FOUND("enabled", "tinyint", "tinyint(1)", NULLABLE),
        TEXT("site", "varchar", "varchar(40)", 40, NULLABLE),
        TEXT("source", "varchar", "varchar(20)", 20, NULLABLE),
        FOUND("reading_count", "bigint", "bigint(20) unsigned", .has_default = true),
    };
    /* clang-format on */
    size_t count = sizeof columns / sizeof columns[0];
    memcpy(found, columns, sizeof columns);
    return count;
}

static struct ddl_found_column *column_of(struct ddl_found_column *found, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(found[i].name, name) == 0) {
            return &found[i];
        }
    }
    cr_assert_fail("no column %s", name);
    return NULL;
}

/* Compares devices after one change; what was said must hold `part` ("": nothing). */
static void assert_difference(struct ddl_found_column *found, size_t count,
                              const char *part)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct buf out = {0};
    size_t differences = ddl_compare(stream, true, found, count, NULL, &out);
    cr_assert_eq(differences, *part ? 1 : 0, "%s", buf_text(&out));
    assert_holds(&out, part);
    buf_free(&out);
    stream_free(stream);
}

Test(ddl_compare, the_same_table)
{
    struct ddl_found_column found[FOUND_MAX];
    assert_difference(found, found_devices(found), "");
}

Test(ddl_compare, wider_is_fine)
{
    struct ddl_found_column found[FOUND_MAX];
    size_t count = found_devices(found);
    column_of(found, count, "model")->characters_max = 400;
    column_of(found, count, "model")->data_type = "text";
    column_of(found, count, "last_seen")->precision = 6;
    column_of(found, count, "state")->column_type =
        "enum('it''s, ok','lost','ok','failing')";
    column_of(found, count, "enabled")->data_type = "int";
    column_of(found, count, "site")->name = "SITE"; /* names have no case */
    found[count++] = (struct ddl_found_column){
        .name = "extra", .data_type = "int", .column_type = "int(11)", .nullable = true};
    assert_difference(found, count, "");
}

Test(ddl_compare, each_difference_is_named)
{
    /* clang-format off */
    const struct {
        struct ddl_found_column with;
        const char *part;
    } cases[] = {
        {TEXT("model", "varchar", "varchar(39)", 39, NULLABLE),
         "`devices`.`model` takes 39 characters"},
        {FOUND("model", "varchar", "varchar(40)", .collation = "latin1_swedish_ci",
               .characters_max = 40, NULLABLE), "latin1_swedish_ci"},
        {FOUND("model", "int", "int(11)", NULLABLE), "make it VARCHAR(40)"},
        {TEXT("model", "varchar", "varchar(40)", 40, .has_default = true),
         "is NOT NULL, but a record may lack it"},
        {TEXT("model", "varchar", "varchar(40)", 40, NULLABLE, .generated = true),
         "is generated"},
        {TEXT("serial", "varchar", "varchar(64)", 64, .has_default = true),
         "change it to utf8mb4_bin"},
        {FOUND("last_seen", "datetime", "datetime", NULLABLE),
         "keeps 0 digits of a second where 3"},
        {FOUND("last_seen", "timestamp", "timestamp(3)", .precision = 3, NULLABLE),
         "make it DATETIME(3)"},
        {FOUND("first_seen", "datetime", "datetime(3)", .precision = 3, NULLABLE,
               .on_update = true), "ON UPDATE"},
        {FOUND("highest", "int", "int(11)", NULLABLE), "make it BIGINT"},
        {FOUND("highest", "bigint", "bigint(20) unsigned", NULLABLE), "make it BIGINT"},
        {FOUND("reading_count", "bigint", "bigint(20)", .has_default = true),
         "make it BIGINT UNSIGNED"},
        {FOUND("lowest", "float", "float", NULLABLE), "make it DOUBLE"},
        {TEXT("state", "enum", "enum('ok','fail','lost')", 7, NULLABLE),
         "lacks the member 'failing'"},
        {FOUND("id", "int", "int(11)", .auto_increment = true), "must be BIGINT"},
        {FOUND("id", "bigint", "bigint(20)", .has_default = true), "not AUTO_INCREMENT"},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ddl_found_column found[FOUND_MAX];
        size_t count = found_devices(found);
        *column_of(found, count, cases[i].with.name) = cases[i].with;
        assert_difference(found, count, cases[i].part);
    }
}

Test(ddl_compare, columns_that_nobody_writes)
{
    struct ddl_found_column found[FOUND_MAX];
    size_t count = found_devices(found);
    found[count] = (struct ddl_found_column){
        .name = "owner", .data_type = "int", .column_type = "int(11)"};
    assert_difference(found, count + 1, "`owner` is NOT NULL without a default");
    found[count].has_default = true;
    assert_difference(found, count + 1, "");
}

Test(ddl_compare, a_missing_column)
{
    struct ddl_found_column found[FOUND_MAX];
    size_t count = found_devices(found);
    *column_of(found, count, "site") = found[count - 1];
    assert_difference(found, count - 1,
                      "`devices`.`site` is missing: add it as "
                      "VARCHAR(40)");
}

Test(ddl_compare, optional_columns_may_be_missing)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    bool missing[STREAM_COLUMNS_MAX];
    struct buf out = {0};
    size_t differences = ddl_compare(stream, true, NULL, 0, missing, &out);
    /* id and all columns but cleaned_time and updated_at */
    cr_assert_eq(differences, stream->entity.column_count - 2 + 1);
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        const char *name = stream->entity.columns[i].name;
        cr_assert_eq(missing[i], strcmp(name, "cleaned_time") == 0 ||
                                     strcmp(name, "updated_at") == 0);
    }
    buf_free(&out);
    stream_free(stream);
}
