//! What is received of rows as they were before, by the replica identity of their table and the privileges of the role, compared with
//! the rows and the catalog.

use serde_json::{Value, json};

use super::{Oracle, ask, subscribe};
use crate::changes::change;

/// Definitions of the table `oracle."Odd, ""table"`, which has the columns `"A b"`, `k`, `n`, `large` and `"ü""x"`.
const IDENTITIES: [(&str, Before); 6] = [
    ("ADD PRIMARY KEY (\"A b\")", Before::Key),
    ("ADD PRIMARY KEY (k, \"A b\")", Before::Key),
    ("ADD PRIMARY KEY (k, \"A b\"), REPLICA IDENTITY FULL", Before::All),
    ("ADD PRIMARY KEY (\"A b\"), REPLICA IDENTITY FULL, ENABLE ROW LEVEL SECURITY", Before::AllUntilDeleted),
    ("ADD PRIMARY KEY (\"A b\"), REPLICA IDENTITY USING INDEX by_k", Before::Index),
    (
        "ADD PRIMARY KEY (\"A b\"), REPLICA IDENTITY USING INDEX by_k, ENABLE ROW LEVEL SECURITY",
        Before::IndexUntilDeleted,
    ),
];

/// What is there of a row as it was before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Key,
    Index,
    /// Of a deleted row only what is in the primary key, too: whether it was visible is not known.
    IndexUntilDeleted,
    All,
    /// Of a deleted row the primary key, likewise.
    AllUntilDeleted,
}

const TABLE: &str = r#"
    DROP TABLE IF EXISTS oracle."Odd, ""table";
    CREATE TABLE oracle."Odd, ""table" ("A b" int, gone int, k text NOT NULL, n int, large text, "ü""x" text);
    ALTER TABLE oracle."Odd, ""table" DROP COLUMN gone, ALTER large SET STORAGE EXTERNAL;
    CREATE UNIQUE INDEX by_k ON oracle."Odd, ""table" (k);
    ALTER PUBLICATION supabase_realtime ADD TABLE oracle."Odd, ""table";
    REVOKE SELECT ON oracle."Odd, ""table" FROM authenticated;
    GRANT SELECT ("A b", k, n, large) ON oracle."Odd, ""table" TO authenticated;
    CREATE POLICY everything ON oracle."Odd, ""table" USING (n IS NOT NULL)"#;

/// The columns of an index that `WHERE` finds, as a list.
fn columns_of(oracle: &Oracle, index: &str) -> Vec<String> {
    let query = format!(
        "SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
         WHERE indrelid = 'oracle.\"Odd, \"\"table\"'::regclass AND {index}"
    );
    serde_json::from_value(ask(oracle.postgres(), &query)).expect("a list")
}

fn some(row: &Value, columns: &[String]) -> Value {
    let fields = row.as_object().expect("an object").iter().filter(|(name, _)| columns.contains(name));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn without(row: &Value, column: &str) -> Value {
    let mut row = row.clone();
    row.as_object_mut().expect("an object").remove(column);
    row
}

/// A row as the role sees it.
fn seen(oracle: &Oracle) -> Value {
    ask(oracle.postgres(), r#"SELECT to_jsonb(t) - 'ü"x' FROM oracle."Odd, ""table" AS t"#)
}

#[tokio::test]
async fn rows_of_before_are_what_the_replica_identity_has_of_them() {
    let oracle = Oracle::start().await;
    for (number, (definition, before)) in IDENTITIES.iter().enumerate() {
        oracle.postgres().sql(TABLE);
        oracle.postgres().sql(&format!(r#"ALTER TABLE oracle."Odd, ""table" {definition}"#));
        let mut client = oracle.changes.client("ann").await;
        let binding = json!({"schema": "oracle", "table": "Odd, \"table"});
        subscribe(&mut client, &format!("realtime:{number}"), &[binding]).await;
        let write = |sql: &str| oracle.postgres().sql(sql);
        write(r#"INSERT INTO oracle."Odd, ""table" VALUES (1, 'k', 1, repeat('large ', 2000), 'secret')"#);
        let (_, data) = change(&mut client).await;
        let first = seen(&oracle);
        assert_eq!((&data["record"], &data["errors"]), (&first, &Value::Null), "{definition}");

        // The columns of some identities change too, so that the log has their values of before.
        write(r#"UPDATE oracle."Odd, ""table" SET n = 2, k = 'l'"#);
        let (_, data) = change(&mut client).await;
        let second = seen(&oracle);
        let (key, index) = (columns_of(&oracle, "indisprimary"), columns_of(&oracle, "indisreplident"));
        let is_full = matches!(before, Before::All | Before::AllUntilDeleted);
        let new = if is_full { second.clone() } else { without(&second, "large") };
        assert_eq!(data["record"], new, "{definition}: a value apart from its row");
        let of_update = match before {
            Before::All | Before::AllUntilDeleted => first,
            Before::Key => some(&first, &key),
            Before::Index | Before::IndexUntilDeleted => some(&first, &index),
        };
        assert_eq!(data["old_record"], of_update, "{definition}");

        write(r#"DELETE FROM oracle."Odd, ""table""#);
        let (_, data) = change(&mut client).await;
        let of_delete = match before {
            Before::All => second,
            Before::Key | Before::AllUntilDeleted => some(&second, &key),
            Before::Index => some(&second, &index),
            Before::IndexUntilDeleted => some(&some(&second, &index), &key),
        };
        assert_eq!((&data["old_record"], &data["record"]), (&of_delete, &Value::Null), "{definition}");
    }
    oracle.changes.rooms.world.stop().await;
}
