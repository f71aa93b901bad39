//! Every operator on every type that can be compared, negated and not, with every value of the type, against the operators of SQL.

use serde_json::{Value, json};

use super::types::{Case, Comparable};
use super::{Oracle, ask, literal, subscribe};
use crate::changes::change;

/// A filter, and the condition that it stands for.
struct Filter {
    text: String,
    condition: String,
}

const ORDER: [(&str, &str); 7] = [
    ("eq", "="),
    ("neq", "<>"),
    ("lt", "<"),
    ("lte", "<="),
    ("gt", ">"),
    ("gte", ">="),
    ("isdistinct", "IS DISTINCT FROM"),
];
const PATTERNS: [(&str, &str); 4] = [("like", "LIKE"), ("ilike", "ILIKE"), ("match", "~"), ("imatch", "~*")];

/// Patterns of both dialects; each is valid in the other.
const PATTERN_VALUES: [&str; 6] = ["A%", "%n", "a_n", "^a", "[b-z]n+", "."];

/// The value of a row, and the type that it has in a comparison.
fn operand(case: &Case) -> (&'static str, &str) {
    match case.sql_type {
        // The digits that clients see are compared, as upstream does.
        "bytea" => ("encode(v, 'hex')::bytea", "bytea"),
        // A length would cut the value of the filter, to one character if it is not stated.
        "char(5)" => ("v", "bpchar"),
        "bit(3)" => ("v", "pg_catalog.\"bit\""),
        "numeric(10,3)" => ("v", "numeric"),
        "timestamptz(0)" => ("v", "timestamptz"),
        "numeric(6,2)[]" => ("v", "numeric[]"),
        other => ("v", other),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn filters(case: &Case) -> Vec<Filter> {
    let (row, sql_type) = operand(case);
    let values = case.values.iter().map(|value| match sql_type {
        "bytea" => value.trim_start_matches("\\x"),
        _ => value,
    });
    let values: Vec<&str> = values.collect();
    let mut filters = Vec::new();
    let mut add = |operator: &str, value: &str, condition: String| {
        filters.push(Filter { text: format!("v={operator}.{value}"), condition: format!("({condition})") });
        filters.push(Filter {
            text: format!("v=not.{operator}.{value}"),
            condition: format!("NOT ({condition})"),
        });
    };
    for (value, (operator, sql)) in values.iter().flat_map(|value| ORDER.map(|operator| (value, operator))) {
        add(operator, &quoted(value), format!("{row} {sql} {}::{sql_type}", literal(value)));
    }
    if !sql_type.ends_with("[]") && sql_type != "oracle.stamps" {
        let list: Vec<String> = values.iter().skip(1).map(|value| quoted(value)).collect();
        for list in [list.join(", "), format!("{}, NULL", quoted(values[0]))] {
            let array = literal(&format!("{{{list}}}"));
            add("in", &format!("({list})"), format!("{row} = ANY ({array}::{sql_type}[])"));
        }
    }
    if case.comparable == Comparable::Text {
        for (value, (operator, sql)) in
            PATTERN_VALUES.iter().flat_map(|value| PATTERNS.map(|operator| (value, operator)))
        {
            add(operator, &quoted(value), format!("{row} {sql} {}", literal(value)));
        }
    }
    add("is", "null", format!("{row} IS NULL"));
    if sql_type == "boolean" {
        for value in ["true", "false", "unknown"] {
            add("is", value, format!("{row} IS {value}"));
        }
    }
    filters
}

#[tokio::test]
async fn filters_hold_where_the_operators_of_sql_do() {
    let oracle = Oracle::start().await;
    let mut client = oracle.changes.client("ann").await;
    let mut differences = Vec::new();
    for (number, case) in
        oracle.cases.iter().enumerate().filter(|(_, case)| case.comparable != Comparable::No)
    {
        let (table, filters) = (format!("t{number}"), filters(case));
        let bindings =
            filters.iter().map(|filter| json!({"schema": "oracle", "table": table, "filter": filter.text}));
        // The last one, which has no filter, receives each row.
        let bindings: Vec<Value> = bindings.chain([json!({"schema": "oracle", "table": table})]).collect();
        let ids = subscribe(&mut client, &format!("realtime:{table}"), &bindings).await;
        let conditions: Vec<_> =
            filters.iter().map(|filter| format!("coalesce({}, false)", filter.condition)).collect();
        let expected = ask(
            oracle.postgres(),
            &format!(
                "SET LOCAL TimeZone TO 'UTC'; {}; SELECT jsonb_agg(to_jsonb(array[{}]) ORDER BY id) FROM oracle.{table};
                 UPDATE oracle.{table} SET v = v; DELETE FROM oracle.{table}",
                case.insert(number),
                conditions.join(", ")
            ),
        );
        let rows = expected.as_array().expect("a list");
        for kind in ["INSERT", "UPDATE", "DELETE"] {
            for (row, expected) in rows.iter().enumerate() {
                let (received, data) = change(&mut client).await;
                assert_eq!((&data["type"], &data["table"]), (&json!(kind), &json!(table)));
                let received = received.as_array().expect("a list");
                for (index, filter) in filters.iter().enumerate() {
                    let holds = received.contains(&ids[index]);
                    if json!(holds) != expected[index] {
                        let value = case.values.get(row).unwrap_or(&"NULL");
                        differences
                            .push(format!("{} {kind} {value:?} {}: {holds}", case.sql_type, filter.text));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    oracle.changes.rooms.world.stop().await;
}
