//! The statement that asks which rows clients may see.
//!
//! Where the rows are in the table is looked up once for all clients, if the server may see the whole table; for a client that may
//! read the whole table too, policies then are evaluated on just these rows. This is twice as fast as to look up the keys for each
//! client, and needs no operator that is leakproof, without which an index is not used under row level security. Otherwise keys
//! are looked up.
//!
//! As the question for private rooms it is one block of PL/pgSQL which catches every error, because PostgreSQL logs statements
//! that fail, and this one has claims in it.

use std::time::Duration;

use uuid::Uuid;

use super::super::literal::{array_literal, identifier, literal};
use super::tables::{ChangeTable, RowKey, TableColumn};

/// What is asked at once.
pub(super) struct LookupStatement<'a> {
    pub(super) table: &'a ChangeTable,
    pub(super) keys: &'a [RowKey],
    pub(super) transactions: &'a [u32],
    pub(super) clients: &'a [Client<'a>],
    /// When this has passed, the clients that are left are not asked about.
    pub(super) time: Duration,
}

/// For whom.
pub(super) struct Client<'a> {
    pub(super) role: &'a str,
    pub(super) claims: &'a str,
    /// Indices of the keys; at least one.
    pub(super) keys: Vec<u32>,
}

impl LookupStatement<'_> {
    /// It returns a row with the column `visible`, which `visibility_answer` reads. Plans are not compiled (`jit`), which takes
    /// longer than any lookup.
    pub(super) fn text(&self) -> String {
        // In none of the literals.
        let tag = Uuid::new_v4().simple();
        let (too_early, is_renamed) = (self.too_early(), self.is_renamed());
        let (declarations, find_positions, ask) = (self.declarations(), self.find_positions(), self.ask());
        format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL jit TO off; DO $v{tag}$
            #variable_conflict use_variable
            DECLARE
                {declarations}
            BEGIN
                IF {too_early} THEN
                    setting := pg_catalog.set_config('realtime.visible', 'early', true);
                    RETURN;
                END IF;
                IF {is_renamed} THEN
                    setting := pg_catalog.set_config('realtime.visible', 'renamed', true);
                    RETURN;
                END IF;
                {find_positions}
                WHILE n < pg_catalog.cardinality(claims)
                    AND (n = 0 OR pg_catalog.clock_timestamp() < give_up_at) LOOP
                    n := n + 1;
                    {SELECT_KEYS}
                    CONTINUE WHEN positions IS NOT NULL AND wanted IS NULL;
                    {ask}
                END LOOP;
                answers := pg_catalog.array_append(answers, n::text);
                setting := pg_catalog.set_config(
                    'realtime.visible', pg_catalog.array_to_string(answers, E'\\n'), true);
            EXCEPTION WHEN query_canceled OR OTHERS THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                setting := pg_catalog.set_config('realtime.visible', 'failed ' || state || ' '
                    || pg_catalog.translate(pg_catalog.left(reason, 1000), E'\\n\\r', '  '), true);
            END $v{tag}$;
            SELECT pg_catalog.current_setting('realtime.visible', true) AS visible,
                pg_catalog.pg_advisory_unlock_all();
            ROLLBACK"
        )
    }

    fn declarations(&self) -> String {
        let roles = array_literal(self.clients.iter().map(|client| client.role));
        let claims = array_literal(self.clients.iter().map(|client| client.claims));
        let (mut lists, mut list_of) = (Vec::new(), Vec::new());
        for client in self.clients {
            let numbers: Vec<String> = client.keys.iter().map(|key| (key + 1).to_string()).collect();
            let list = format!("{{{}}}", numbers.join(","));
            if lists.last() != Some(&list) {
                lists.push(list);
            }
            list_of.push(lists.len().to_string());
        }
        let (lists, list_of) = (array_literal(lists.iter().map(String::as_str)), list_of.join(","));
        let milliseconds = self.time.as_millis();
        format!(
            "roles constant text[] := {roles};
                claims constant text[] := {claims};
                lists constant text[] := {lists};
                list_of constant integer[] := '{{{list_of}}}';
                give_up_at constant timestamptz :=
                    pg_catalog.clock_timestamp() + interval '{milliseconds} milliseconds';
                n integer := 0;
                list integer;
                numbers integer[];
                number integer;
                positions tid[];
                wanted tid[];
                wanted_count integer;
                role text;
                may_read_all boolean;
                seen tid[];
                seen_numbers bigint[];
                answers text[] := '{{}}';
                state text;
                reason text;
                setting text;"
        )
    }

    /// Where the rows are; NULL for those that do not exist. Positions are those of one table, and found with the rights of the
    /// server.
    fn find_positions(&self) -> String {
        if self.table.is_partitioned {
            return String::new();
        }
        let (oid, keys, table, join) = (self.table.oid, self.keys(), self.table(), self.join());
        format!(
            "IF pg_catalog.has_table_privilege({oid}::oid, 'SELECT')
                    AND NOT pg_catalog.row_security_active({oid}::oid) THEN
                    SELECT pg_catalog.array_agg(t.ctid ORDER BY k.n) INTO positions
                    FROM {keys} LEFT JOIN {table} ON {join};
                    answers := pg_catalog.array_append(
                        answers, 'rows ' || pg_catalog.array_to_string(positions, ' ', '-'));
                END IF;"
        )
    }

    /// Asks for one client, and takes back whatever its policies have done.
    fn ask(&self) -> String {
        let (oid, keys, table, join) = (self.table.oid, self.keys(), self.table(), self.join());
        format!(
            "BEGIN
                        IF roles[n] IS DISTINCT FROM role THEN
                            role := roles[n];
                            may_read_all := positions IS NOT NULL
                                AND pg_catalog.has_table_privilege(role, {oid}::oid, 'SELECT');
                        END IF;
                        setting := pg_catalog.set_config('request.jwt.claims', claims[n], true);
                        setting := pg_catalog.set_config('role', role, true);
                        IF may_read_all THEN
                            SELECT pg_catalog.array_agg(t.ctid) INTO seen FROM {table} WHERE t.ctid = ANY (wanted);
                        ELSE
                            SELECT pg_catalog.array_agg(k.n) INTO seen_numbers FROM {keys} JOIN {table} ON {join}
                            WHERE k.n = ANY (numbers);
                        END IF;
                        RAISE EXCEPTION USING ERRCODE = 'RT000';
                    EXCEPTION
                        WHEN SQLSTATE 'RT000' THEN
                            IF NOT may_read_all THEN
                                IF seen_numbers IS NOT NULL THEN
                                    answers := pg_catalog.array_append(answers,
                                        n || ' keys ' || pg_catalog.array_to_string(seen_numbers, ' '));
                                END IF;
                            ELSIF pg_catalog.cardinality(seen) = wanted_count THEN
                                answers := pg_catalog.array_append(answers, n || ' all');
                            ELSIF seen IS NOT NULL THEN
                                answers := pg_catalog.array_append(answers,
                                    n || ' at ' || pg_catalog.array_to_string(seen, ' '));
                            END IF;
                        WHEN query_canceled OR OTHERS THEN
                            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                            role := NULL;
                            answers := pg_catalog.array_append(answers, n || ' failed ' || state || ' '
                                || pg_catalog.translate(pg_catalog.left(reason, 1000), E'\\n\\r', '  '));
                            -- The time of the statement is over, and is not watched any more.
                            EXIT WHEN state = '57014';
                    END;"
        )
    }

    /// The table, without what inherits from it; a partitioned one has its rows in what does.
    fn table(&self) -> String {
        let only = if self.table.is_partitioned { "" } else { "ONLY " };
        format!("{only}{}.{} AS t", identifier(&self.table.schema), identifier(&self.table.name))
    }

    /// The keys as values of the types of their columns: to cast each of them in the condition could not use an index under row
    /// level security.
    fn keys(&self) -> String {
        let arrays = self.key_columns().enumerate().map(|(index, column)| {
            let texts = self.keys.iter().map(|key| key.get(index).map_or("", |text| &**text));
            format!("pg_catalog.unnest({}::{}[])", array_literal(texts), column.sql_type)
        });
        let arrays: Vec<String> = arrays.collect();
        let names: Vec<String> = (0..arrays.len()).map(|index| format!("k{index}")).collect();
        format!("ROWS FROM ({}) WITH ORDINALITY AS k ({}, n)", arrays.join(", "), names.join(", "))
    }

    fn join(&self) -> String {
        let columns = self.key_columns().enumerate();
        let equal = columns.map(|(index, column)| format!("t.{} = k.k{index}", identifier(&column.name)));
        equal.collect::<Vec<_>>().join(" AND ")
    }

    fn key_columns(&self) -> impl Iterator<Item = &TableColumn> {
        self.table.primary_key.iter().filter_map(|index| self.table.columns.get(*index))
    }

    /// Whether the table or a column of its key has another name than the one that is known. The rows of a table that has got the name
    /// are others.
    fn is_renamed(&self) -> String {
        let ChangeTable { oid, schema, name, .. } = self.table;
        let (schema, name) = (literal(schema), literal(name));
        let columns = self.key_columns().map(|column| {
            format!(
                "(pg_catalog.pg_identify_object('pg_catalog.pg_class'::regclass, {oid}::oid, {number})).identity
                    IS DISTINCT FROM pg_catalog.format('%I.%I.%I', {schema}, {name}, {column})",
                number = column.number,
                column = literal(&column.name)
            )
        });
        columns.collect::<Vec<_>>().join(" OR ")
    }

    /// The log has the lower half of the id of a transaction. The whole one is that nearest to the next id of the snapshot.
    fn too_early(&self) -> String {
        if self.transactions.is_empty() {
            return "false".into();
        }
        let transactions: Vec<String> = self.transactions.iter().map(u32::to_string).collect();
        format!(
            "EXISTS (SELECT FROM pg_catalog.unnest('{{{}}}'::bigint[]) AS low (id),
                CAST (pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text AS bigint) AS next (id)
                WHERE NOT pg_catalog.pg_visible_in_snapshot(
                    (next.id - 2147483648 + (low.id - next.id % 4294967296 + 6442450944) % 4294967296)::text::xid8,
                    pg_catalog.pg_current_snapshot()))",
            transactions.join(",")
        )
    }
}

/// Selects the keys of a client, unless they are those of the one before. The arrays are padded to at least 16 elements: a plan for
/// any array expects ten of them, and for fewer PostgreSQL would make a plan for each client, which takes three times as long as
/// the lookup. Equal elements are one to it.
const SELECT_KEYS: &str = "
                    IF list_of[n] IS DISTINCT FROM list THEN
                        list := list_of[n];
                        numbers := lists[list]::integer[];
                        wanted := NULL;
                        IF positions IS NOT NULL THEN
                            FOREACH number IN ARRAY numbers LOOP
                                IF positions[number] IS NOT NULL THEN
                                    wanted := pg_catalog.array_append(wanted, positions[number]);
                                END IF;
                            END LOOP;
                            wanted_count := pg_catalog.cardinality(wanted);
                            IF wanted IS NOT NULL THEN
                                wanted := wanted || pg_catalog.array_fill(wanted[1], array[16]);
                            END IF;
                        END IF;
                        numbers := numbers || pg_catalog.array_fill(numbers[1], array[16]);
                    END IF;";
