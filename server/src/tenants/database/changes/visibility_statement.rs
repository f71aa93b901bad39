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

use uuid::fmt::Simple;

use super::super::literal::array_literal;
use super::json_question::FORMATS;
use super::logged_rows::RowsInSql;

/// What is asked at once.
pub(super) struct LookupStatement<'a> {
    pub(super) rows: RowsInSql<'a>,
    pub(super) clients: &'a [Client<'a>],
    /// How long it may take. When half of that has passed, the clients that are left are not asked about: one that takes the rest for
    /// itself is slow itself.
    pub(super) time: Duration,
    /// Is in no other statement, and in none of the literals.
    pub(super) tag: Simple,
}

/// For whom.
pub(super) struct Client<'a> {
    pub(super) role: &'a str,
    pub(super) claims: &'a str,
    /// Indices of the keys; at least one.
    pub(super) keys: Vec<u32>,
}

impl LookupStatement<'_> {
    /// It returns a row with the column `visible`, which `visibility_answer` reads. With `row_security = off`, as a role may have it,
    /// each policy would be an error.
    pub(super) fn text(&self) -> String {
        let (tag, timeout) = (self.tag, self.time.as_millis().max(1));
        let (too_early, is_renamed) = (self.rows.too_early(), self.rows.is_renamed(&[]));
        let (declarations, find_unchanged) = (self.declarations(), self.find_unchanged());
        let (find_positions, ask) = (self.find_positions(), self.ask());
        format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL row_security TO on;
            SET LOCAL statement_timeout TO {timeout}; DO $v{tag}$
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
                {find_unchanged}
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
        let milliseconds = self.time.as_millis() / 2;
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
                unchanged bigint[];
                positions tid[];
                wanted tid[];
                wanted_count integer;
                role text;
                may_read_all boolean;
                seen tid[];
                seen_numbers bigint[];
                is_answered boolean;
                answers text[] := '{{}}';
                state text;
                reason text;
                setting text;"
        )
    }

    /// Where the rows are; NULL for those that do not exist. Positions are those of one table, and found with the rights of the
    /// server.
    fn find_positions(&self) -> String {
        let Self { rows, .. } = self;
        if rows.table.is_partitioned {
            return String::new();
        }
        let (oid, keys, table, join) = (rows.table.oid, rows.keys(), rows.table(), self.join());
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

    /// Whether a row has the key, and is unchanged if that matters.
    fn join(&self) -> String {
        let join = self.rows.join();
        if self.compares_values() { format!("{join} AND k.n = ANY (unchanged)") } else { join }
    }

    fn compares_values(&self) -> bool {
        !self.rows.rows.values.is_empty()
    }

    /// Which rows have the values that they had, if that matters: found with the rights of the server, in the formats of the log, which
    /// policies must not see.
    fn find_unchanged(&self) -> String {
        let Self { rows, .. } = self;
        if !self.compares_values() {
            return String::new();
        }
        let (oid, keys, table) = (rows.table.oid, rows.keys_and_values(), rows.table());
        let (join, is_unchanged) = (rows.join(), rows.is_unchanged());
        format!(
            "IF NOT pg_catalog.has_table_privilege({oid}::oid, 'SELECT')
                    OR pg_catalog.row_security_active({oid}::oid) THEN
                    RAISE insufficient_privilege USING MESSAGE =
                        'the role of the server may not read all rows of a table, as changes.exact_visibility needs it';
                END IF;
                BEGIN
                    {FORMATS};
                    SELECT pg_catalog.array_agg(k.n) INTO unchanged FROM {keys} JOIN {table} ON {join} AND {is_unchanged};
                    RAISE EXCEPTION USING ERRCODE = 'RT000';
                EXCEPTION WHEN SQLSTATE 'RT000' THEN
                    unchanged := coalesce(unchanged, '{{}}');
                END;"
        )
    }

    /// Asks for one client, and takes back whatever its policies have done.
    fn ask(&self) -> String {
        let Self { rows, .. } = self;
        let (oid, keys, table, join) = (rows.table.oid, rows.keys(), rows.table(), self.join());
        format!(
            "BEGIN
                        is_answered := false;
                        seen := NULL;
                        seen_numbers := NULL;
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
                        is_answered := true;
                        RAISE EXCEPTION USING ERRCODE = 'RT000';
                    EXCEPTION WHEN query_canceled OR OTHERS THEN
                        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                        -- Policies may raise any error, that one too.
                        IF NOT is_answered THEN
                            role := NULL;
                            answers := pg_catalog.array_append(answers, n || ' failed ' || state || ' '
                                || pg_catalog.translate(pg_catalog.left(reason, 1000), E'\\n\\r', '  '));
                        ELSIF NOT may_read_all THEN
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
                        -- The time of the statement is over, and is not watched any more.
                        EXIT WHEN state = '57014';
                    END;"
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
