//! Subscriptions to the changes of tables, as clients write them.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::value::RawValue;
use wire::supabase::changes::{
    Binding, BindingEvent, Filter, FilterOperator, NamePattern, binding_echo, binding_ids, binding_of_topic,
};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// The binding as it is displayed, or the error that the client reads.
fn parsed(json: &str) -> String {
    Binding::parse(&raw(json)).map_or_else(|error| error.to_string(), |binding| binding.to_string())
}

fn with_filter(filter: &str) -> String {
    serde_json::json!({"schema": "public", "table": "messages", "filter": filter}).to_string()
}

/// The conditions of a filter as they are displayed, or the error.
fn filters(filter: &str) -> String {
    let shown = parsed(&with_filter(filter));
    let list = shown.strip_prefix("[event: *, schema: public, table: messages, filters: ");
    list.and_then(|list| list.strip_suffix(", select: nil]")).unwrap_or(&shown).to_owned()
}

fn values(filter: &str) -> Vec<String> {
    let binding = Binding::parse(&raw(&with_filter(filter))).unwrap();
    binding.filters.into_iter().map(|filter| filter.value).collect()
}

#[test]
fn the_members_that_are_there_decide_which_tables_are_meant() {
    let shown =
        |json: &str| parsed(json).replace("[event: *, ", "").replace(", filters: [], select: nil]", "");
    assert_eq!(shown(r#"{"schema":"a","table":"b"}"#), "schema: a, table: b");
    assert_eq!(shown(r#"{"schema":"a","table":"b","filter":" "}"#), "schema: a, table: b");
    assert_eq!(shown(r#"{"schema":"a"}"#), "schema: a, table: *");
    assert_eq!(shown(r#"{"table":"b"}"#), "schema: public, table: b");
    assert_eq!(shown(r#"{"schema":"*","table":"*"}"#), "schema: *, table: *");
}

#[test]
fn a_binding_without_tables_is_quoted_in_the_error() {
    let text =
        "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: ";
    for (binding, quoted) in [
        ("{}", "%{}"),
        (r#"{"event":"*"}"#, r#"%{"event" => "*"}"#),
        (r#"{"table":"t","filter":"id=eq.1"}"#, r#"%{"filter" => "id=eq.1", "table" => "t"}"#),
        (r#"{"schema":1,"table":"t"}"#, r#"%{"schema" => 1, "table" => "t"}"#),
        (
            r#"{"schema":"a","table":"t","filter":null}"#,
            r#"%{"filter" => nil, "schema" => "a", "table" => "t"}"#,
        ),
        (r#"{"user_token":"secret"}"#, "<redacted>"),
        (r#"{"auth_token":null,"schema":[]}"#, "<redacted>"),
    ] {
        assert_eq!(parsed(binding), format!("{text}{quoted}"));
    }
}

#[test]
fn an_unknown_event_means_all() {
    let event = |json: &str| Binding::parse(&raw(json)).unwrap().event;
    assert_eq!(event(r#"{"table":"t","event":"INSERT"}"#), BindingEvent::Insert);
    assert_eq!(event(r#"{"table":"t","event":"update"}"#), BindingEvent::Update);
    assert_eq!(event(r#"{"table":"t","event":"Delete"}"#), BindingEvent::Delete);
    for any in [r#""*""#, r#""foo""#, "1", "null"] {
        assert_eq!(event(&format!(r#"{{"table":"t","event":{any}}}"#)), BindingEvent::Any);
    }
    assert_eq!(event(r#"{"table":"t"}"#), BindingEvent::Any);
}

#[test]
fn selected_columns_are_strings_of_a_list() {
    let select = |select: &str| parsed(&format!(r#"{{"schema":"a","table":"t","select":{select}}}"#));
    let shown = |columns: &str| format!("[event: *, schema: a, table: t, filters: [], select: {columns}]");
    assert_eq!(select(r#"["id",1,"b\"c"]"#), shown(r#"["id", "b\"c"]"#));
    for none in ["[]", "[1,null]", "null", "{}", "7"] {
        assert_eq!(select(none), shown("nil"));
    }
    let error = "Error parsing `select` params: expected a list of column name strings, e.g. select: [\"col1\", \"col2\"]";
    assert_eq!(select(r#""id""#), error);
    assert_eq!(parsed(r#"{"select":"id"}"#), error, "before the tables are looked for");
    let error = "Column selection is not supported for wildcard subscriptions. \
                 Provide an explicit schema and table name.";
    assert_eq!(parsed(r#"{"schema":"*","table":"t","select":["id"]}"#), error);
    assert_eq!(parsed(r#"{"schema":"a","select":["id"]}"#), error);
    assert_eq!(
        parsed(r#"{"schema":"a","select":[]}"#),
        "[event: *, schema: a, table: *, filters: [], select: nil]"
    );
}

#[test]
fn a_name_is_no_pattern() {
    let name = NamePattern::from("a_b");
    assert!(name.matches("a_b") && !name.matches("axb"));
    assert!(NamePattern::from("*").matches("a_b"));
    assert_eq!(NamePattern::from("%"), NamePattern::Exact("%".to_owned()));
}

#[test]
fn every_operator_may_be_negated() {
    for operator in FilterOperator::ALL {
        let value = if operator == FilterOperator::In { ["(a)", "{a}"] } else { ["a", "a"] };
        for (prefix, is_negated) in [("", false), ("not.", true)] {
            let name = operator.as_str();
            let expected = format!(r#"[{{"c", "{name}", "{}", {is_negated}}}]"#, value[1]);
            assert_eq!(filters(&format!("c={prefix}{name}.{}", value[0])), expected);
        }
    }
}

#[test]
fn conditions_are_separated_by_commas_at_the_top_level() {
    assert_eq!(filters(""), "[]");
    assert_eq!(filters(" \n"), "[]");
    assert_eq!(
        filters(" id=gt.0 , name=not.in.(a,\"b,c\") "),
        r#"[{"id", "gt", "0", false}, {"name", "in", "{a,\"b,c\"}", true}]"#
    );
    assert_eq!(values(r#"a=eq."x,y",b=eq.z"#), ["x,y", "z"]);
    assert_eq!(values(r#"a=eq."x\",y",b=eq.z"#), [r#"x",y"#, "z"]);
    assert_eq!(values("a=eq.f(1,2),b=eq.)x"), ["f(1,2)", ")x"]);
    // A quote within a value begins nothing.
    assert_eq!(values(r#"a=eq.5" disk,b=eq.z"#), [r#"5" disk"#, "z"]);
    assert_eq!(values(r#"a=in.(x,")",y),b=eq.z"#), [r#"{x,")",y}"#, "z"]);
    assert_eq!(values("a=eq.=x.y"), ["=x.y"]);
    assert_eq!(filters("=eq.1"), r#"[{"", "eq", "1", false}]"#);
}

#[test]
fn a_value_that_is_quoted_as_a_whole_loses_its_quotes() {
    assert_eq!(values(r#"a=eq."""#), [""]);
    assert_eq!(values(r#"a=eq."x\\y\"é\é""#), [r#"x\y"éé"#]);
    for unchanged in [r#""x"y"#, r#""x"#, r#""x\"#, r#""x\""#, r#"x""#] {
        assert_eq!(values(&format!("a=eq.{unchanged}")), [unchanged]);
    }
}

#[test]
fn the_first_wrong_segment_is_the_error() {
    let reason = |filter: &str| {
        filters(filter).strip_prefix("Error parsing `filter` params: ").expect("an error").to_owned()
    };
    let empty = "filter must not contain empty segments (check for extra commas)";
    for filter in ["a=eq.1,,b=eq.2", "a=eq.1,", ",a=eq.1", "a=eq.1, ,wrong"] {
        assert_eq!(reason(filter), empty);
    }
    let parentheses = "`in` filter value must be wrapped by parentheses";
    for filter in ["a=in.1,2", "a=in.(1", "a=in.(", "a=in.", "a=in.{1}"] {
        assert_eq!(reason(filter), parentheses);
    }
    assert_eq!(reason("subject=foo.hey"), r#"["foo", "hey"]"#);
    assert_eq!(reason("undefined"), r#"["undefined"]"#);
    assert_eq!(reason("a=eq"), r#"["eq"]"#);
    assert_eq!(reason("a=not.eq"), r#"["eq"]"#);
    assert_eq!(reason("a=not.not.eq.1"), r#"["not", "eq.1"]"#);
    assert_eq!(reason("a=EQ.1"), r#"["EQ", "1"]"#);
    assert_eq!(reason("a= eq.1"), r#"[" eq", "1"]"#);
}

#[test]
fn the_elements_of_a_list_are_those_of_an_array_literal() {
    let elements = |list: &str| {
        let binding = Binding::parse(&raw(&with_filter(&format!("a=in.{list}")))).unwrap();
        binding.filters[0].elements().ok()
    };
    let some = |texts: &[&str]| Some(texts.iter().map(|&text| Some(text.to_owned())).collect::<Vec<_>>());
    assert_eq!(elements("()"), some(&[]));
    assert_eq!(elements("(a, b c ,\"d,e\",\"\")"), some(&["a", "b c", "d,e", ""]));
    assert_eq!(elements(r#"("NULL",a\,b)"#), some(&["NULL", "a,b"]));
    assert_eq!(elements("(null,1)"), Some(vec![None, Some("1".to_owned())]));
    for refused in ["(a,)", "(,)", "({1},{2})", "(a})", "(a\"b\")", "(\"a)"] {
        assert_eq!(elements(refused), None, "{refused}");
    }
}

#[test]
fn errors_of_the_database_show_all_parameters() {
    let ghosts = Binding::parse(&raw(r#"{"event":"insert","schema":"public","table":"ghosts"}"#)).unwrap();
    assert_eq!(
        ghosts.no_table_text(),
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given \
         connect parameters: [event: INSERT, schema: public, table: ghosts, filters: [], select: nil]"
    );
    let json = r#"{"schema":"public","table":"test","filter":"subject=eq.hey"}"#;
    assert_eq!(
        Binding::parse(&raw(json)).unwrap().exception_text("ERROR P0001 (raise_exception) invalid column"),
        "Unable to subscribe to changes with given parameters. An exception happened so please check your connect \
         parameters: [event: *, schema: public, table: test, filters: [{\"subject\", \"eq\", \"hey\", false}], \
         select: nil]. Exception: ERROR P0001 (raise_exception) invalid column"
    );
}

#[test]
fn a_topic_without_configuration_names_a_table() {
    let binding = |topic: &str| binding_of_topic(topic).get().to_owned();
    assert_eq!(binding("public"), r#"{"schema":"public"}"#);
    assert_eq!(binding("public:a\"b"), r#"{"schema":"public","table":"a\"b"}"#);
    assert_eq!(binding("public:t:at=eq.12:30"), r#"{"filter":"at=eq.12:30","schema":"public","table":"t"}"#);
    assert_eq!(Binding::parse(&binding_of_topic("*")).unwrap().schema, NamePattern::Any);
}

#[test]
fn the_echo_is_what_was_sent_with_an_id() {
    let echo = |json: &str| binding_echo(&raw(json), 7);
    assert_eq!(echo("{}"), r#"{"id":7}"#);
    assert_eq!(echo("{ \n}"), r#"{"id":7}"#);
    assert_eq!(
        echo("{ \"Event\" : 1.0e0 , \"b\":\"}\" \t} \n"),
        "{ \"Event\" : 1.0e0 , \"b\":\"}\",\"id\":7}"
    );
}

#[test]
fn equal_bindings_have_equal_ids() {
    let ids = |bindings: &[&str]| binding_ids(&bindings.iter().map(|json| raw(json)).collect::<Vec<_>>());
    let all = ids(&[r#"{"a":1,"b":[true]}"#, r#"{"c":2}"#, "{ \"b\" : [true],\"\\u0061\":1 }"]);
    assert_eq!(all[0], all[2]);
    assert_ne!(all[0], all[1]);
    assert_eq!(ids(&[r#"{"c":2}"#]), all[1..2]);
    // Written down, because nodes of different versions of the server must agree.
    assert_eq!(ids(&["{}", r#"{"event":"*","schema":"public","table":"todos"}"#]), [52_001_520, 102_737_981]);
}

proptest! {
    #[test]
    fn a_filter_that_is_quoted_has_the_value_that_was_meant(
        parts in vec(("[a-z_ .\"]{1,9}", 0..13_usize, any::<bool>(), ".*"), 1..5),
    ) {
        let meant: Vec<_> = parts.iter().map(|(column, operator, is_negated, value)| Filter {
            column: format!("c{}", column.trim_end()),
            operator: FilterOperator::ALL[*operator],
            value: value.clone(),
            is_negated: *is_negated,
        }).collect();
        let written = meant.iter().map(|filter| {
            let quoted = filter.value.replace('\\', "\\\\").replace('"', "\\\"");
            let not = if filter.is_negated { "not." } else { "" };
            let value = match filter.operator {
                FilterOperator::In => format!("(\"{quoted}\")"),
                _ => format!("\"{quoted}\""),
            };
            // A quote behind a dot would begin a quoted run.
            let column = filter.column.replace(".\"", "._");
            format!("{column}={not}{}.{value}", filter.operator.as_str())
        });
        let written = written.collect::<Vec<_>>().join(",");
        let read = Binding::parse(&raw(&with_filter(&written))).unwrap().filters;
        for (read, meant) in read.iter().zip(&meant) {
            prop_assert_eq!((read.operator, read.is_negated), (meant.operator, meant.is_negated));
            match read.operator {
                FilterOperator::In => {
                    prop_assert_eq!(read.elements().unwrap(), [Some(meant.value.clone())]);
                }
                _ => prop_assert_eq!(&read.value, &meant.value),
            }
        }
        prop_assert_eq!(read.len(), meant.len());
    }

    #[test]
    fn any_filter_is_read_or_refused(filter in "([a-z(),.=\" \\\\]|eq|in|not\\.){0,40}|.*") {
        let json = with_filter(&filter);
        if let Ok(binding) = Binding::parse(&raw(&json)) {
            for filter in &binding.filters {
                let _ = filter.elements();
            }
        }
        prop_assert!(parsed(&json).len() < 2000 + 6 * json.len());
    }

    #[test]
    fn an_id_has_27_bits_and_the_echo_is_json(binding in "\\{(\"[a-z]{0,3}\":[0-9]{1,3},){0,4}\"k\":[\"a-z]{0,4} \\}") {
        if let Ok(binding) = RawValue::from_string(binding) {
            let id = binding_ids(std::slice::from_ref(&binding))[0];
            prop_assert!(id < 1 << 27);
            let mut sent: serde_json::Value = serde_json::from_str(binding.get()).unwrap();
            sent["id"] = id.into();
            let echo: serde_json::Value = serde_json::from_str(&binding_echo(&binding, id)).unwrap();
            prop_assert_eq!(echo, sent);
        }
    }
}
