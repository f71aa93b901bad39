//! Whether subscriptions fit the tables, with the trigger on `realtime.subscription` as the oracle.

use harness::{Postgres, WAIT_MAX};
use realtime_server::tenants::database::changes::{CheckedFilter, CheckedJoin};
use serde_json::{json, value::to_raw_value};
use wire::supabase::changes::Binding;

use crate::Catalog;

const NOTES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN small AS int CHECK (VALUE < 100);
    CREATE TABLE notes (id int PRIMARY KEY, gone int, body text, done boolean, code char(3), secret text, data bytea,
        at timestamptz, js json, mood mood, small small, amounts numeric[], place point);
    ALTER TABLE notes DROP COLUMN gone;
    GRANT SELECT (id, body, done, code, data, at, js, mood, small, amounts, place) ON notes TO authenticated;
    CREATE TABLE \"a_b\" (id int PRIMARY KEY); CREATE TABLE axb (id text PRIMARY KEY);
    GRANT SELECT ON a_b, axb TO authenticated; CREATE PUBLICATION p FOR TABLE notes, a_b, axb";

fn binding(filter: &str, select: Option<&[&str]>) -> Binding {
    let mut binding = json!({"event": "*", "schema": "public", "table": "notes", "filter": filter});
    if let Some(select) = select {
        binding["select"] = json!(select);
    }
    Binding::parse(&to_raw_value(&binding).unwrap()).unwrap()
}

fn for_table(table: &str) -> Binding {
    Binding::parse(&to_raw_value(&json!({"schema": "public", "table": table})).unwrap()).unwrap()
}

async fn check(catalog: &Catalog, role: &str, bindings: &[Binding]) -> CheckedJoin {
    catalog.database.check_joins("p", role, &[bindings]).await.expect("an answer").remove(0)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What the trigger says: SQLSTATE and message, or nothing.
fn oracle(catalog: &Catalog, role: &str, binding: &Binding) -> String {
    let filters = binding.filters.iter().map(|filter| {
        let (column, value) = (literal(&filter.column), literal(&filter.value));
        format!(
            "({column}, '{}', {value}, {})::realtime.user_defined_filter",
            filter.operator.as_str(),
            filter.is_negated
        )
    });
    let filters = filters.collect::<Vec<_>>().join(", ");
    let select = binding.select.as_ref().map_or("NULL".to_owned(), |select| {
        format!(
            "array[{}]::text[]",
            select.iter().map(|column| literal(column)).collect::<Vec<_>>().join(", ")
        )
    });
    let notices = catalog.postgres.notices(&format!(
        "DO $$ BEGIN
             INSERT INTO realtime.subscription (subscription_id, entity, filters, claims, selected_columns)
             VALUES (gen_random_uuid(), 'notes', array[{filters}]::realtime.user_defined_filter[],
                 jsonb_build_object('role', {}), {select});
         EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$",
        literal(role)
    ));
    notices.trim_start_matches("NOTICE:  ").to_owned()
}

#[tokio::test]
async fn a_subscription_is_refused_with_the_words_of_the_trigger() {
    let catalog = Catalog::with(NOTES).await;
    let many = format!("id=in.({})", ["1"; 101].join(","));
    let cases: [(&str, Option<&[&str]>); 41] = [
        ("", None),
        ("", Some(&["id", "body"])),
        ("", Some(&["id", "secret"])),
        ("", Some(&["gone"])),
        ("nothing=eq.1", None),
        ("gone=eq.1", None),
        ("secret=eq.1", None),
        ("ID=eq.1", None),
        ("ctid=eq.(0,1)", None),
        ("id=eq.7,body=eq.a,done=is.true", None),
        ("id=eq.abc", None),
        ("id=not.neq.abc", None),
        ("id=isdistinct.abc", None),
        ("id=eq.99999999999", None),
        ("id=gte. 7 ", None),
        ("id=in.(1,2,NULL)", None),
        ("id=in.(1,abc)", None),
        ("id=in.(1,,2)", None),
        (&many, None),
        ("id=is.null", None),
        ("id=is.NULL", None),
        ("id=is.true", None),
        ("done=is.unknown", None),
        ("done=is.yes", None),
        ("done=eq.yes", None),
        ("id=like.1%", None),
        ("id=ilike.1%", None),
        ("id=imatch.1", None),
        ("id=match.(", None),
        ("body=match.(", None),
        ("body=imatch.^a", None),
        ("code=like.a%", None),
        ("mood=like.a%", None),
        ("mood=eq.angry", None),
        ("mood=in.(sad,ok)", None),
        ("at=gt.yesterday", None),
        ("at=gt.2024-13-01", None),
        ("js=eq.{", None),
        ("amounts=eq.\"{1,x}\"", None),
        ("data=eq.0102ff", None),
        ("place=eq.(1,x)", None),
    ];
    for (filter, select) in cases {
        let binding = binding(filter, select);
        let expected = oracle(&catalog, "authenticated", &binding);
        match check(&catalog, "authenticated", std::slice::from_ref(&binding)).await {
            Ok(checked) => {
                assert_eq!(expected, "", "{filter} {select:?}");
                assert_eq!(checked[0].tables.len(), 1);
            }
            Err(text) => {
                let (state, message) = expected.split_once(' ').unwrap_or_else(|| panic!("{filter}: {text}"));
                let name = text.split_once(&format!("Exception: ERROR {state} (")).expect("the SQLSTATE").1;
                let (name, said) = name.split_once(") ").expect("its name");
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                assert_eq!(said, message, "{filter} {select:?}");
                assert_eq!(text, binding.exception_text(&format!("ERROR {state} ({name}) {message}")));
            }
        }
    }
    // The check of a domain does not run with the rights of the server.
    let beyond = binding("small=eq.100", None);
    assert!(oracle(&catalog, "authenticated", &beyond).starts_with("23514 "));
    assert!(check(&catalog, "authenticated", &[beyond]).await.is_ok());
    let potato = check(&catalog, "potato", &[binding("", None)]).await.unwrap_err();
    assert_eq!(oracle(&catalog, "potato", &binding("", None)), "42704 role \"potato\" does not exist");
    assert!(
        potato.ends_with("Exception: ERROR 42704 (undefined_object) role \"potato\" does not exist"),
        "{potato}"
    );
    for not_a_name in ["-", "10", "none"] {
        assert!(check(&catalog, not_a_name, &[binding("", None)]).await.is_err());
    }
}

#[tokio::test]
async fn the_text_of_a_refusal_is_that_of_upstream() {
    let catalog = Catalog::with(NOTES).await;
    let refused = check(&catalog, "authenticated", &[for_table("ghosts")]).await.unwrap_err();
    assert_eq!(
        refused,
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect \
         parameters: [event: *, schema: public, table: ghosts, filters: [], select: nil]"
    );
    let refused = check(&catalog, "authenticated", &[binding("subject=eq.hey", None)]).await.unwrap_err();
    assert_eq!(
        refused,
        "Unable to subscribe to changes with given parameters. An exception happened so please check your connect \
         parameters: [event: *, schema: public, table: notes, filters: [{\"subject\", \"eq\", \"hey\", false}], select: nil]. \
         Exception: ERROR P0001 (raise_exception) invalid column for filter subject"
    );
    // The last one that does not fit decides, and spoils all.
    let bindings = [for_table("ghosts"), for_table("a_b"), binding("id=eq.x", None), for_table("axb")];
    let refused = check(&catalog, "authenticated", &bindings).await.unwrap_err();
    assert!(
        refused.ends_with(
            "ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: \"x\""
        )
    );
    let refused = check(&catalog, "authenticated", &[binding("body=eq.\0", None)]).await.unwrap_err();
    assert!(refused.ends_with(
        "ERROR 22021 (character_not_in_repertoire) invalid byte sequence for encoding \"UTF8\": 0x00"
    ));
}

#[tokio::test]
async fn tables_are_those_of_the_publication_and_names_are_no_patterns() {
    let catalog = Catalog::with(NOTES).await;
    let [notes, a_b, axb] = ["notes", "a_b", "axb"].map(|table| catalog.oid(table));
    let tables = async |binding: Binding| {
        let checked = check(&catalog, "authenticated", &[binding]).await;
        checked.map(|checked| checked[0].tables.iter().map(|table| table.oid).collect::<Vec<_>>())
    };
    assert_eq!(tables(for_table("a_b")).await.unwrap(), [a_b]);
    assert_eq!(tables(for_table("*")).await.unwrap(), [notes, a_b, axb], "by their oids");
    assert!(tables(for_table("a%")).await.is_err());
    // What a filter means depends on the table.
    let any = json!({"schema": "public", "table": "*", "filter": "id=eq.07"});
    let any = Binding::parse(&to_raw_value(&any).unwrap()).unwrap();
    let checked = check(&catalog, "authenticated", &[any]).await.unwrap();
    let canonical: Vec<_> =
        checked[0].tables.iter().map(|table| table.filters[0].canonical[0].as_deref()).collect();
    assert_eq!(canonical, [Some("7"), Some("7"), Some("07")]);
    let elsewhere = async |publication: &str| {
        catalog.database.check_joins(publication, "authenticated", &[&[for_table("a_b")]]).await
    };
    let missing = elsewhere("other").await.unwrap_err();
    assert_eq!(missing.reason, "the publication `other` does not exist");
    catalog.postgres.sql("CREATE PUBLICATION other FOR TABLE notes");
    assert!(elsewhere("other").await.unwrap()[0].is_err());
}

#[tokio::test]
async fn values_are_returned_as_the_log_has_them() {
    let catalog = Catalog::with(NOTES).await;
    let canonical = async |filter: &str| -> Vec<Option<String>> {
        let checked =
            check(&catalog, "authenticated", &[binding(filter, Some(&["body", "at"]))]).await.unwrap();
        let table = &checked[0].tables[0];
        assert_eq!(table.select.as_deref(), Some(&[1, 6][..]), "without the dropped column");
        let CheckedFilter { canonical, .. } = &table.filters[0];
        canonical.iter().map(|text| text.as_deref().map(str::to_owned)).collect()
    };
    let some = |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(canonical("id=eq. 007").await, some(&["7"]));
    assert_eq!(canonical("done=eq.yes").await, some(&["t"]));
    assert_eq!(canonical("at=gt.2024-01-01 02:00+02").await, some(&["2024-01-01 00:00:00+00"]));
    assert_eq!(canonical("at=gt.2024-01-01 02:00").await, some(&["2024-01-01 02:00:00+00"]), "in UTC");
    assert_eq!(canonical("code=eq.abcd").await, some(&["abcd"]), "not cut");
    assert_eq!(canonical("data=eq.0102ff").await, some(&["0102ff"]));
    assert_eq!(canonical("id=in.(07, 8,NULL)").await, [Some("7".into()), Some("8".into()), None]);
    assert_eq!(canonical("body=in.(a,\"b,c\")").await, some(&["a", "b,c"]));
    assert_eq!(canonical("body=like.a%").await, []);
    assert_eq!(canonical("body=is.null").await, []);
}

#[tokio::test]
async fn many_joins_are_checked_at_once_and_one_that_does_not_fit_concerns_no_other() {
    let catalog = Catalog::with(NOTES).await;
    let joins: Vec<Vec<Binding>> = (0..500)
        .map(|number| match number % 5 {
            0 => vec![for_table("a_b"), for_table("ghosts")],
            1 => vec![binding("body=eq.\0", None)],
            2 => vec![],
            _ => vec![for_table("axb"), binding(&format!("id=eq.{number}"), None)],
        })
        .collect();
    let lists: Vec<&[Binding]> = joins.iter().map(Vec::as_slice).collect();
    let checked = catalog.database.check_joins("p", "authenticated", &lists).await.unwrap();
    assert_eq!(checked.len(), joins.len());
    for (number, checked) in checked.iter().enumerate() {
        match number % 5 {
            0 => assert!(checked.as_ref().unwrap_err().contains("ghosts")),
            1 => assert!(checked.as_ref().unwrap_err().contains("0x00")),
            2 => assert_eq!(*checked, Ok(vec![])),
            _ => {
                let filter = &checked.as_ref().unwrap()[1].tables[0].filters[0];
                assert_eq!(*filter.canonical, [Some(number.to_string().into())]);
            }
        }
    }
}

/// Each statement is logged, those within others too.
const LOGGED: [&str; 3] = [
    "shared_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_nested_statements=on",
];

// Each filter was checked for each table: 90 of them on 1,501 tables took 42 seconds.
#[tokio::test]
async fn filters_on_many_tables_take_as_many_statements_as_on_one() {
    let postgres = Postgres::alone(&LOGGED);
    let url = postgres.url();
    let catalog = Catalog::at(postgres, url, WAIT_MAX).await;
    catalog.postgres.sql("CREATE PUBLICATION p");
    let of_filter = |number: u32| {
        let binding = json!({"schema": "public", "table": "*", "filter": format!("id=gt.{number}")});
        Binding::parse(&to_raw_value(&binding).unwrap()).unwrap()
    };
    let bindings: Vec<Binding> = (0..10).map(of_filter).collect();
    let logged = || catalog.postgres.log().matches("Query Text:").count();
    let mut statements = Vec::new();
    for tables in [1, 50] {
        catalog.postgres.sql(&format!(
            "DO $$ BEGIN FOR n IN 1..{tables} LOOP
                EXECUTE format('CREATE TABLE of_{tables}_%s (id int PRIMARY KEY)', n);
                EXECUTE format('GRANT SELECT ON of_{tables}_%s TO anon', n);
                EXECUTE format('ALTER PUBLICATION p ADD TABLE of_{tables}_%s', n);
            END LOOP; END $$"
        ));
        let before = logged();
        let checked = check(&catalog, "anon", &bindings).await.unwrap();
        statements.push(logged() - before);
        assert!(checked.iter().all(|binding| binding.tables.len() >= tables));
    }
    assert!(statements[0] > bindings.len(), "the value of each filter is read: {statements:?}");
    assert_eq!(statements[1], statements[0]);
}

// A publication for all tables has it too.
#[tokio::test]
async fn a_table_without_columns_does_not_prevent_subscriptions_to_all_tables() {
    let catalog =
        Catalog::with(&format!("{NOTES}; CREATE TABLE bare (); ALTER PUBLICATION p ADD TABLE bare")).await;
    let checked = check(&catalog, "authenticated", &[for_table("*")]).await.unwrap();
    assert_eq!(checked[0].tables.len(), 4);
    let bare = catalog.oid("bare");
    let target = checked[0].tables.iter().find(|target| target.oid == bare).unwrap();
    assert!(target.columns.is_empty());
    assert!(catalog.table("bare").await.shape().columns.is_empty());
    assert_eq!(catalog.database.table_rights(&[bare], &["authenticated"]).await.unwrap().len(), 1);
}
