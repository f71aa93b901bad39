//! The types of columns, with values that are special to each.

use harness::Postgres;

use self::Comparable::{No, Ordered, Text};
use super::literal;

/// The types that are no built-in ones.
pub(super) const PRELUDE: &str = r#"
    CREATE SCHEMA oracle;
    GRANT USAGE ON SCHEMA oracle TO authenticated;
    ALTER DEFAULT PRIVILEGES IN SCHEMA oracle GRANT SELECT ON TABLES TO authenticated;
    CREATE TYPE oracle.mood AS ENUM ('sad', 'ok', 'very "happy", yes');
    CREATE DOMAIN oracle.small AS int CHECK (VALUE < 1000);
    CREATE DOMAIN oracle.smaller AS oracle.small;
    CREATE DOMAIN oracle.words AS text;
    CREATE DOMAIN oracle.raw AS bytea;
    CREATE DOMAIN oracle.stamps AS timestamptz[];
    CREATE TYPE oracle."Odd ""type" AS ("a b" int, "c""d" text, e timestamptz[], f bytea);
    CREATE TYPE oracle.outer_type AS (i oracle."Odd ""type", m oracle.mood, n numeric, b bool);
    CREATE TYPE oracle.span AS RANGE (subtype = float8);
    CREATE TYPE oracle.pair AS RANGE (subtype = int4);
    CREATE FUNCTION oracle.pair_json(oracle.pair) RETURNS json LANGUAGE sql IMMUTABLE AS
        'SELECT json_build_object(''from'', lower($1), ''to'', upper($1), ''text'', $1::text)';
    CREATE CAST (oracle.pair AS json) WITH FUNCTION oracle.pair_json(oracle.pair);
    CREATE DOMAIN oracle.paired AS oracle.pair;
    CREATE TYPE oracle.holder AS (p oracle.pair, n numeric);"#;

/// How values of a type are compared with those of filters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparable {
    /// Not at all.
    No,
    /// By order.
    Ordered,
    /// Also by patterns.
    Text,
}

/// A type, and values of it.
pub(super) struct Case {
    pub(super) sql_type: &'static str,
    pub(super) values: &'static [&'static str],
    pub(super) comparable: Comparable,
}

const fn case(sql_type: &'static str, comparable: Comparable, values: &'static [&'static str]) -> Case {
    Case { sql_type, values, comparable }
}

const BUILT_IN: &[Case] = &[
    case("smallint", Ordered, &["0", "-32768", "7"]),
    case("integer", Ordered, &["-1", "2147483647", "10"]),
    case("bigint", Ordered, &["9007199254740993", "9007199254740992", "-9223372036854775808"]),
    case(
        "numeric",
        Ordered,
        &["10.10", "9.5", "-0.00", "NaN", "Infinity", "-Infinity", "123456789012345678901234567890.5"],
    ),
    case("numeric(10,3)", Ordered, &["10.1", "-99.999", "0"]),
    case("real", Ordered, &["1.5", "0.1", "-0", "NaN", "Infinity", "1e30"]),
    case("double precision", Ordered, &["1.5", "0.1", "-0", "NaN", "-Infinity", "1e300", "1e-7"]),
    case("boolean", Ordered, &["true", "false"]),
    case(
        "text",
        Text,
        &["", "Ann", "ann", "a,b", "say \"yes\" \\ no", "NULL", "ÄÖ ß 🦀", "line\nline\ttab", "100%", "z_z"],
    ),
    case("varchar(10)", Text, &["Ann", "ann", "Z", " x "]),
    case("char(5)", Text, &["abc", "abcde", ""]),
    case("name", Text, &["Ann", "x y"]),
    case("\"char\"", Ordered, &["a", "Z"]),
    case("uuid", Ordered, &["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "00000000-0000-0000-0000-000000000000"]),
    case("date", Ordered, &["2024-02-03", "infinity", "-infinity", "0044-03-15 BC", "12024-01-01"]),
    case("time", Ordered, &["12:34:56.789", "12:34:56", "24:00:00"]),
    case("timetz", Ordered, &["12:34:56.789+02", "12:34:56-05:30"]),
    case(
        "timestamp",
        Ordered,
        &["2024-02-03 12:34:56.789123", "2024-02-03", "infinity", "0044-03-15 08:00 BC", "12024-01-01"],
    ),
    case(
        "timestamptz",
        Ordered,
        &["2024-02-03 12:34:56.789+02", "-infinity", "0044-03-15 08:00+00 BC", "12024-01-01 00:00+00"],
    ),
    case("timestamptz(0)", Ordered, &["2024-02-03 12:34:56.789+02", "2024-02-03 10:34:57Z"]),
    case("interval", Ordered, &["1 year 2 mons 3 days 04:05:06", "-1 day +00:00:01", "30 days", "1 month"]),
    case("inet", Ordered, &["10.0.0.1", "10.0.0.1/8", "::1"]),
    case("cidr", Ordered, &["10.0.0.0/8", "::/0"]),
    case("macaddr", Ordered, &["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"]),
    case("money", Ordered, &["12.34", "-1000"]),
    case("bytea", Ordered, &["\\x0102ff", "\\x", "\\xdeadbeef"]),
    case("oid", Ordered, &["42", "4294967295"]),
    case("pg_lsn", Ordered, &["0/16B3748", "FF/0"]),
    case("bit(3)", Ordered, &["101", "000"]),
    case("varbit", Ordered, &["10", "1"]),
    case("int4range", Ordered, &["[1,10)", "empty", "(,5]"]),
    case("int4multirange", Ordered, &["{[1,3),[5,7)}", "{}"]),
    case("numrange", Ordered, &["[1.50,2.5]"]),
    case("tsvector", Ordered, &["'a':1 'fat cat':2"]),
    case("tsquery", Ordered, &["'a' & 'b'"]),
    case("jsonb", Ordered, &["{\"b\": 1, \"aa\": [1, null, {\"x\": \"y\"}]}", "null", "\"text\"", "1.10"]),
    case("json", No, &["{\"b\": 1,   \"aa\": [1, null], \"u\": \"\\u00e9\"}", "null", "[]"]),
    case("xml", No, &["<a>b &amp; c</a>"]),
    case("point", No, &["(1,2)", "(-0.5,1e30)"]),
    case("box", No, &["(3,4),(1,2)"]),
    case("circle", No, &["<(1,2),3>"]),
    case("path", No, &["[(1,2),(3,4)]"]),
    case("regclass", Ordered, &["pg_class", "pg_type"]),
    case("regtype", Ordered, &["integer", "timestamptz"]),
    case("integer[]", Ordered, &["{1,2,NULL}", "{}", "{{1,2},{3,4}}", "[2:3]={7,8}"]),
    case("text[]", Ordered, &["{a,\"b,c\",\"NULL\",NULL,\"say \\\"x\\\" \\\\\",\"\"}", "{}"]),
    case("boolean[]", Ordered, &["{t,f,NULL}"]),
    case("double precision[]", Ordered, &["{1.5,NaN,Infinity,1e300}"]),
    case("numeric(6,2)[]", Ordered, &["{1.50,NaN}"]),
    case("timestamp[]", Ordered, &["{\"2024-02-03 12:00:00.5\",infinity}"]),
    case("timestamptz[]", Ordered, &["{\"2024-02-03 12:00:00+02\",\"0044-03-15 08:00+00 BC\"}"]),
    case("bytea[]", Ordered, &["{\"\\\\x0102\",\"\\\\x\"}"]),
    case("jsonb[]", Ordered, &["{\"{\\\"a\\\": [1]}\",\"null\",NULL}"]),
    case("json[]", No, &["{\"{\\\"a\\\":   [1]}\"}"]),
    case("box[]", No, &["{(3,4),(1,2);(7,8),(5,6)}"]),
    case("uuid[]", Ordered, &["{00000000-0000-0000-0000-000000000000}"]),
    case("date[]", Ordered, &["{2024-02-03,infinity}"]),
    case("int4range[]", Ordered, &["{\"[1,3)\",empty}"]),
    case("oracle.mood", Ordered, &["sad", "very \"happy\", yes"]),
    case("oracle.mood[]", Ordered, &["{sad,\"very \\\"happy\\\", yes\"}"]),
    case("oracle.small", Ordered, &["7", "-3"]),
    case("oracle.smaller", Ordered, &["7", "10"]),
    case("oracle.smaller[]", Ordered, &["{7,NULL}"]),
    case("oracle.words", Text, &["Ann", "b, c"]),
    case("oracle.raw", Ordered, &["\\x01ff"]),
    case("oracle.stamps", Ordered, &["{\"2024-02-03 12:00:00+02\"}"]),
    case(
        "oracle.\"Odd \"\"type\"",
        No,
        &["(1,\"x, \"\"y\"\" \\\\z\",\"{\"\"2024-02-03 12:00:00+00\"\"}\",\"\\\\x01\")", "(,,,)"],
    ),
    case("oracle.\"Odd \"\"type\"[]", No, &["{\"(1,x,,)\",NULL}"]),
    case("oracle.outer_type", No, &["(\"(1,x,,)\",ok,1.50,t)", "(,,NaN,f)"]),
    case("oracle.span", Ordered, &["[1.5,2)"]),
    case("oracle.pair", Ordered, &["[1,5)", "[7,9)", "empty"]),
    case("oracle.pair[]", Ordered, &["{\"[1,5)\",NULL,empty}", "{}"]),
    case("oracle.paired", Ordered, &["[1,5)"]),
    case("oracle.holder", No, &["(\"[1,5)\",1.50)", "(,)"]),
    case("int2vector", No, &["1 2"]),
    case("xid8", Ordered, &["1"]),
];

/// Those of extensions, which not every server has.
const OF_EXTENSIONS: &[(&str, &[Case])] = &[
    (
        "hstore",
        &[
            case("hstore", No, &["a=>1, \"b c\"=>NULL, \"q\\\"\"=>\"\\\\\"", ""]),
            case("hstore[]", No, &["{\"a=>1\"}"]),
        ],
    ),
    ("citext", &[case("citext", Text, &["Ann", "ann", "b,C"])]),
    ("ltree", &[case("ltree", Ordered, &["a.b", "a"])]),
];

/// All that this server has.
pub(super) fn cases(postgres: &Postgres) -> Vec<Case> {
    let copy = |case: &Case| Case { ..*case };
    let mut cases: Vec<Case> = BUILT_IN.iter().map(copy).collect();
    for (extension, of_extension) in OF_EXTENSIONS {
        let is_there = format!("SELECT count(*) FROM pg_available_extensions WHERE name = '{extension}'");
        if postgres.sql(&is_there) == "1" {
            postgres.sql(&format!("CREATE EXTENSION {extension}"));
            cases.extend(of_extension.iter().map(copy));
        } else {
            println!("SKIPPED: columns of {extension}: the server does not have this extension");
        }
    }
    cases
}

impl Case {
    /// Makes its table, of which the log has the whole rows.
    pub(super) fn table(&self, number: usize) -> String {
        format!(
            "CREATE TABLE oracle.t{number} (id int PRIMARY KEY, v {});
             ALTER TABLE oracle.t{number} REPLICA IDENTITY FULL;
             ALTER PUBLICATION supabase_realtime ADD TABLE oracle.t{number}",
            self.sql_type
        )
    }

    /// Inserts a row for each value, and one with NULL.
    pub(super) fn insert(&self, number: usize) -> String {
        let rows = self.values.iter().map(|value| literal(value)).chain(["NULL".to_owned()]);
        let rows: Vec<_> = rows.enumerate().map(|(id, value)| format!("({id}, {value})")).collect();
        format!("INSERT INTO oracle.t{number} VALUES {}", rows.join(", "))
    }
}
