//! Comparisons that only the database can make.

use std::time::{Duration, Instant};

use realtime_server::tenants::database::changes::{Comparison, NotCompared};
use wire::supabase::changes::FilterOperator as Operator;

use crate::Catalog;

const TEXT: u32 = 25;
const INTEGER: u32 = 23;
const JSON: u32 = 114;

fn comparison<'a>(type_oid: u32, row: Option<&'a str>, operator: Operator, value: &'a str) -> Comparison<'a> {
    Comparison { type_oid, operator, row, value }
}

#[tokio::test]
async fn every_operator_compares_as_the_function_of_upstream() {
    let catalog = Catalog::with("").await;
    let (rows, values) = ([Some("b"), Some("B'"), Some("a\\%"), None], ["b", "a%", "b'", "A\\\\%"]);
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    for operator in Operator::ALL {
        for row in rows {
            for value in values {
                let value = match operator {
                    Operator::In => "{b,\"B'\"}",
                    Operator::Is => "null",
                    _ => value,
                };
                asked.push(comparison(TEXT, row, operator, value));
                let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
                let row = row.map_or("NULL".to_owned(), quoted);
                let (operator, value) = (operator.as_str(), quoted(value));
                expected
                    .push(format!("realtime.check_equality_op('{operator}', 'text', {row}, {value}, false)"));
            }
        }
    }
    let expected =
        catalog.postgres.sql(&format!("SELECT array_to_string(array[{}], ' ', '-')", expected.join(", ")));
    let found = catalog.database.compare_in_database(&asked).await.unwrap();
    let word = |holds: Option<bool>| holds.map_or("-", |holds| if holds { "t" } else { "f" });
    let found: Vec<_> = found.into_iter().map(|holds| word(holds.unwrap())).collect();
    assert_eq!(found.join(" "), expected);
}

fn reason(error: &NotCompared) -> String {
    match error {
        NotCompared::Failed(failure) => failure.reason.to_string(),
        NotCompared::TooSlow | NotCompared::Unasked => panic!("it fails"),
    }
}

#[tokio::test]
async fn a_comparison_that_fails_harms_no_other() {
    let catalog = Catalog::with("CREATE TYPE mood AS ENUM ('sad', 'ok')").await;
    let mood = catalog.postgres.sql("SELECT 'mood'::regtype::oid").parse().unwrap();
    let asked = [
        comparison(TEXT, Some("abc"), Operator::Ilike, "A%"),
        comparison(JSON, Some("{}"), Operator::Eq, "{}"),
        comparison(TEXT, Some("abc"), Operator::Match, "("),
        comparison(mood, Some("ok"), Operator::Gt, "sad"),
        comparison(99_999, Some("1"), Operator::Eq, "1"),
        comparison(INTEGER, Some("1"), Operator::Eq, "1'; SELECT 2"),
        comparison(TEXT, Some("a"), Operator::Is, "null; SELECT 2"),
        comparison(INTEGER, None, Operator::IsDistinct, "1"),
    ];
    let found = catalog.database.compare_in_database(&asked).await.unwrap();
    let states: Vec<_> = found.iter().map(|holds| holds.as_ref().map_err(reason)).collect();
    assert_eq!(states[0], Ok(&Some(true)));
    assert_eq!(states[3], Ok(&Some(true)));
    assert_eq!(states[7], Ok(&Some(true)));
    for (index, state) in [(1, "(42883)"), (2, "(2201B)"), (4, "(42704)"), (5, "(22P02)"), (6, "(42601)")] {
        assert!(states[index].as_ref().unwrap_err().ends_with(state), "{:?}", states[index]);
    }
    assert_eq!(catalog.database.compare_in_database(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_filter_that_takes_too_long_is_found_among_many() {
    let slow = "CREATE FUNCTION slow(text) RETURNS boolean LANGUAGE sql AS $$ SELECT pg_sleep(60) IS NULL $$;
        CREATE DOMAIN slow AS text CHECK (VALUE <> 'slow' OR slow(VALUE))";
    let time = Duration::from_secs(4);
    let catalog = Catalog::with_query_timeout(time, slow).await;
    let slow = catalog.postgres.sql("SELECT 'slow'::regtype::oid").parse().unwrap();
    let rows: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let values = ["7", "slow", "8"];
    let compared_with = |value| rows.iter().map(move |row| comparison(slow, Some(row), Operator::Neq, value));
    let asked: Vec<_> = values.into_iter().flat_map(compared_with).collect();
    let begun = Instant::now();
    let found = catalog.database.compare_in_database(&asked).await.unwrap();
    assert!(begun.elapsed() < time);
    for (comparison, holds) in asked.iter().zip(found) {
        match comparison.value {
            "slow" => assert_eq!(holds, Err(NotCompared::TooSlow)),
            value => assert_eq!(holds, Ok(Some(comparison.row != Some(value)))),
        }
    }
}
