//! What a subscription to changes may ask for, and how its filters are evaluated.

use harness::Postgres;

use crate::prepared;

const TABLE: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, body text, done boolean, code char(3), secret text, data bytea);
    GRANT SELECT (id, body, done, code, data) ON notes TO authenticated;";

/// Inserts a subscription, and returns the error or the filters as they are stored.
fn subscribe(postgres: &Postgres, filters: &str, selected: &str) -> String {
    let insert = format!(
        "DO $$ DECLARE stored text; BEGIN
             INSERT INTO realtime.subscription (subscription_id, entity, filters, claims, selected_columns)
             VALUES (gen_random_uuid(), 'notes', {filters}, '{{\"role\": \"authenticated\"}}', {selected})
             RETURNING filters::text || coalesce(selected_columns::text, '') INTO stored;
             RAISE NOTICE '%', stored;
         EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$"
    );
    postgres.notices(&insert).trim_start_matches("NOTICE:  ").to_owned()
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_refused() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    let filter = |column: &str, op: &str, value: &str| {
        let filters =
            format!("array[('{column}', '{op}', '{value}', false)]::realtime.user_defined_filter[]");
        subscribe(&postgres, &filters, "NULL")
    };
    let many = format!("{{{}}}", ["1"; 101].join(","));
    for (column, op, value, error) in [
        ("nothing", "eq", "1", "P0001 invalid column for filter nothing"),
        ("secret", "eq", "1", "P0001 invalid column for filter secret"),
        ("id", "in", &*many, "P0001 too many values for `in` filter. Maximum 100"),
        ("id", "is", "NULL", "P0001 invalid value for is filter: must be null, true, false, or unknown"),
        ("body", "is", "true", "P0001 is true filter requires a boolean column, got text"),
        ("id", "like", "1%", "P0001 operator like requires a text-compatible column type, got integer"),
        ("id", "ilike", "1%", "P0001 operator ilike requires a text-compatible column type, got integer"),
        ("id", "imatch", "1", "P0001 operator imatch requires a text-compatible column type, got integer"),
        ("id", "eq", "abc", "22P02 invalid input syntax for type integer: \"abc\""),
        ("id", "isdistinct", "abc", "22P02 invalid input syntax for type integer: \"abc\""),
        ("id", "in", "{1,abc}", "22P02 invalid input syntax for type integer: \"abc\""),
    ] {
        assert_eq!(filter(column, op, value), error, "{column}={op}.{value}");
    }
    let invalid = filter("body", "match", "(");
    assert!(
        invalid.starts_with("P0001 invalid regular expression for match filter: invalid reg"),
        "{invalid}"
    );
    assert_eq!(
        subscribe(&postgres, "'{}'", "array['id', 'secret']"),
        "P0001 invalid column for select secret"
    );

    for (column, op, value) in [
        ("code", "like", "a%"),
        ("body", "imatch", "^a"),
        ("done", "is", "true"),
        ("body", "is", "null"),
        ("id", "in", "{1,2}"),
        ("body", "in", "{a,NULL}"),
    ] {
        let stored = filter(column, op, value);
        assert!(stored.starts_with(r#"{"("#), "{column}={op}.{value}: {stored}");
    }
    assert_eq!(postgres.sql("SELECT DISTINCT claims_role FROM realtime.subscription"), "authenticated");
}

#[tokio::test]
async fn a_role_must_exist() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    let subscribe = |claims: &str| {
        postgres.notices(&format!(
            "DO $$ BEGIN INSERT INTO realtime.subscription (subscription_id, entity, claims)
             VALUES (gen_random_uuid(), 'notes', '{claims}');
             EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$"
        ))
    };
    assert_eq!(subscribe(r#"{"role": "potato"}"#), "NOTICE:  42704 role \"potato\" does not exist");
    // An oid and the role that means none are no names.
    for not_a_name in ["10", "-"] {
        let refused = subscribe(&format!(r#"{{"role": "{not_a_name}"}}"#));
        assert!(refused.starts_with("NOTICE:  42704"), "{refused}");
    }
    assert!(subscribe("{}").starts_with("NOTICE:  23502 null value in column \"claims_role\""));
}

#[tokio::test]
async fn equal_subscriptions_are_equal_rows() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    let filters = "array[('id', 'gt', '1', false), ('body', 'eq', 'b', true), ('body', 'eq', 'a', NULL)]";
    let stored =
        subscribe(&postgres, &format!("{filters}::realtime.user_defined_filter[]"), "array['id', 'body']");
    assert_eq!(stored, r#"{"(body,eq,a,)","(body,eq,b,t)","(id,gt,1,f)"}{body,id}"#);
}

#[tokio::test]
async fn filters_compare_values_of_the_type_of_the_column() {
    let postgres = prepared().await;
    let holds = |op: &str, kind: &str, row: &str, filter: &str, negate: bool| {
        postgres
            .sql(&format!("SELECT realtime.check_equality_op('{op}', '{kind}', {row}, {filter}, {negate})"))
    };
    for (op, kind, row, filter, expected) in [
        ("eq", "integer", "'07'", "'7'", "t"),
        ("neq", "integer", "'07'", "'7'", "f"),
        ("lt", "integer", "'9'", "'10'", "t"),
        ("lt", "text", "'9'", "'10'", "f"),
        ("gte", "numeric", "'1.50'", "'1.5'", "t"),
        ("in", "text", "'b'", "'{a,\"b\"}'", "t"),
        ("like", "character varying", "'abc'", "'a%'", "t"),
        ("ilike", "text", "'ABC'", "'a%'", "t"),
        ("match", "text", "'abc'", "'^b'", "f"),
        ("imatch", "text", "'ABC'", "'b'", "t"),
        ("is", "text", "NULL", "'null'", "t"),
        ("is", "boolean", "'f'", "'false'", "t"),
        ("isdistinct", "integer", "NULL", "'1'", "t"),
        ("eq", "bytea", "'0102ff'", "'0102ff'", "t"),
        // All characters and bits are compared, not only the first.
        ("eq", "character", "'abc'", "'abd'", "f"),
        ("eq", "bit", "'101'", "'100'", "f"),
    ] {
        let negated = if expected == "t" { "f" } else { "t" };
        assert_eq!(holds(op, kind, row, filter, false), expected, "{row} {op} {filter}");
        assert_eq!(holds(op, kind, row, filter, true), negated, "not {row} {op} {filter}");
    }
    // Neither a comparison with NULL nor its negation holds.
    assert_eq!(
        holds("eq", "integer", "NULL", "'1'", false) + &holds("eq", "integer", "NULL", "'1'", true),
        ""
    );
    assert_eq!(postgres.sql("SELECT realtime.check_equality_op('eq', 'integer', '1', '1')"), "t");
    let injected = "DO $$ BEGIN PERFORM realtime.check_equality_op('is', 'text', 'a', 'null OR true', false);
        EXCEPTION WHEN raise_exception THEN RAISE NOTICE '%', SQLERRM; END $$";
    assert!(postgres.notices(injected).contains("invalid value for is filter"));
}

#[tokio::test]
async fn values_are_the_json_of_their_type() {
    let postgres = prepared().await;
    let cast =
        |value: &str, kind: &str| postgres.sql(&format!("SELECT realtime.\"cast\"('{value}', '{kind}')"));
    for (value, kind, json) in [
        ("9007199254740993", "bigint", "9007199254740993"),
        ("10.10", "numeric", "10.10"),
        ("abc", "character", r#""abc""#),
        ("101", "bit", r#""101""#),
        ("0102ff", "bytea", r#""0102ff""#),
        ("{1,2,NULL}", "integer[]", "[1, 2, null]"),
        ("2024-02-03 12:34:56.789", "timestamp", r#""2024-02-03T12:34:56.789""#),
        ("42", "oid", r#""42""#),
        (r#"{"b":1,"a":2}"#, "json", r#"{"b":1,"a":2}"#),
    ] {
        assert_eq!(cast(value, kind), postgres.sql(&format!("SELECT '{json}'::jsonb")), "{value}");
    }
}
