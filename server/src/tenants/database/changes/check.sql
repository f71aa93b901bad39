-- Whether subscriptions fit the tables of a publication: what upstream's trigger on realtime.subscription checks, with its texts,
-- for all subscriptions of some joins at once. Asked in `realtime.request`, answered in `realtime.checked`, both as JSON, with what
-- subscriptions and tables have in common once: a filter is checked for each type of its column, however many tables have that.
--
-- Every error is caught: PostgreSQL logs statements that fail, and these have values of clients in them.
DO $check$
#variable_conflict use_variable
DECLARE
    request constant jsonb := pg_catalog.current_setting('realtime.request')::jsonb;
    role regrole;
    role_failure jsonb;
    answer jsonb;
    questions jsonb[];
    question jsonb;
    operator text;
    value text;
    expected text;
    canonical text[];
    has_too_many boolean;
    results jsonb[] := '{}';
    state text;
    reason text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = request ->> 'publication') THEN
        PERFORM pg_catalog.set_config('realtime.checked', pg_catalog.jsonb_build_object(
            'missing', request ->> 'publication')::text, true);
        RETURN;
    END IF;
    BEGIN
        -- Quoted, because a role in a token is a name as it is, and not an identifier of SQL or an oid.
        role := pg_catalog.quote_ident(request ->> 'role')::regrole;
        -- Policies are asked as this role. A member may not act as a role since PostgreSQL 16 unless it has that option.
        IF NOT pg_catalog.pg_has_role(role, CASE
            WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)
        THEN
            RAISE insufficient_privilege USING MESSAGE = pg_catalog.format(
                'the server may not act as this role: it needs `GRANT %1$s TO %2$I`', role, current_user);
        END IF;
    EXCEPTION
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
            role_failure := pg_catalog.jsonb_build_object('state', state, 'message', reason);
            -- May read nothing.
            role := NULL;
    END;
    WITH patterns AS MATERIALIZED (
        SELECT p.n - 1 AS place, p.pattern ->> 'schema' AS schema_name, p.pattern ->> 'table' AS table_name
        FROM pg_catalog.jsonb_array_elements(request -> 'patterns') WITH ORDINALITY AS p (pattern, n)
    ), published AS MATERIALIZED (
        -- PostgreSQL 14 has no lists of columns.
        SELECT c.oid, t.schemaname, t.tablename, pg_catalog.to_jsonb(t) -> 'attnames' AS column_names
        FROM pg_catalog.pg_publication_tables AS t
        JOIN pg_catalog.pg_namespace AS s ON s.nspname = t.schemaname
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = t.tablename
        WHERE t.pubname = request ->> 'publication'
    ), matched AS MATERIALIZED (
        SELECT p.place, t.oid, t.schemaname, t.tablename
        FROM patterns AS p
        JOIN published AS t
            ON coalesce(t.schemaname = p.schema_name, true) AND coalesce(t.tablename = p.table_name, true)
    ), all_columns AS MATERIALIZED (
        SELECT a.attrelid AS oid, a.attnum AS number, a.attname::text AS name, a.atttypid AS type_oid,
            a.attname::text IN (SELECT pg_catalog.jsonb_array_elements_text(request -> 'columns'))
                AND pg_catalog.has_column_privilege(role, a.attrelid, a.attnum, 'SELECT')
                -- Lists have no generated columns.
                AND (a.attgenerated <> '' OR coalesce(pg_catalog.jsonb_exists(t.column_names, a.attname), true))
                AS is_readable
        FROM published AS t
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid
        WHERE t.oid IN (SELECT m.oid FROM matched AS m) AND a.attnum > 0 AND NOT a.attisdropped
    ), column_types AS MATERIALIZED (
        SELECT DISTINCT m.place, c.name, c.type_oid
        FROM matched AS m JOIN all_columns AS c ON c.oid = m.oid
        WHERE c.is_readable
    ), filter_types AS MATERIALIZED (
        SELECT DISTINCT f.n - 1 AS place, c.type_oid
        FROM pg_catalog.jsonb_array_elements(request -> 'filters') WITH ORDINALITY AS f (filter, n)
        JOIN column_types AS c
            ON c.place = (f.filter ->> 'pattern')::bigint AND c.name = f.filter ->> 'column'
    ), types AS MATERIALIZED (
        SELECT a.atttypid AS type_oid, a.atttypid::regtype::text AS name, cast_type.name AS cast_name, cast_type.has_arrays
        FROM (SELECT DISTINCT f.type_oid AS atttypid FROM filter_types AS f) AS a
        -- cast_type.sql
    )
    SELECT
        pg_catalog.jsonb_build_object(
            'matched', (
                SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('pattern', o.place, 'oids', o.oids))
                FROM (
                    SELECT m.place, pg_catalog.array_agg(m.oid::bigint ORDER BY m.schemaname, m.tablename) AS oids
                    FROM matched AS m GROUP BY m.place
                ) AS o),
            -- A table may have no columns, and has no answer then.
            'tables', (
                SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                    'oid', o.oid::bigint, 'columns', o.columns, 'readable', o.readable))
                FROM (
                    SELECT c.oid, pg_catalog.array_agg(c.number ORDER BY c.number) AS columns,
                        pg_catalog.jsonb_object_agg(c.name, pg_catalog.jsonb_build_object(
                            'number', c.number, 'type', c.type_oid::bigint)) FILTER (WHERE c.is_readable) AS readable
                    FROM all_columns AS c GROUP BY c.oid
                ) AS o)),
        array(
            SELECT pg_catalog.jsonb_build_object('filter', f.place, 'type', f.type_oid::bigint, 'type_name', t.name,
                'cast_name', t.cast_name, 'has_arrays', t.has_arrays)
            FROM filter_types AS f JOIN types AS t ON t.type_oid = f.type_oid
            ORDER BY f.place, f.type_oid)
    INTO answer, questions;
    FOREACH question IN ARRAY questions LOOP
        operator := request #>> array['filters', question ->> 'filter', 'operator'];
        value := request #>> array['filters', question ->> 'filter', 'value'];
        canonical := '{}';
        BEGIN
            expected := CASE operator
                WHEN 'like' THEN '~~' WHEN 'ilike' THEN '~~*' WHEN 'match' THEN '~' WHEN 'imatch' THEN '~*' END;
            IF expected IS NOT NULL THEN
                -- Tried, because a type without an operator of its own may have that of a type it is converted to.
                BEGIN
                    EXECUTE pg_catalog.format(
                        'SELECT NULL::%1$s OPERATOR(pg_catalog.%2$s) NULL::%1$s', question ->> 'cast_name', expected);
                EXCEPTION
                    WHEN undefined_function OR ambiguous_function THEN
                        RAISE EXCEPTION 'operator % requires a text-compatible column type, got %',
                            operator, question ->> 'type_name';
                END;
            END IF;
            IF operator IN ('match', 'imatch') THEN
                BEGIN
                    PERFORM '' ~ value;
                EXCEPTION
                    WHEN invalid_regular_expression THEN
                        RAISE EXCEPTION 'invalid regular expression for match filter: %', SQLERRM;
                END;
            ELSIF operator = 'is' THEN
                IF value IN ('null', 'true', 'false', 'unknown') IS NOT TRUE THEN
                    RAISE EXCEPTION 'invalid value for is filter: must be null, true, false, or unknown';
                ELSIF value <> 'null' AND (question ->> 'type')::oid <> 'pg_catalog.bool'::regtype THEN
                    RAISE EXCEPTION 'is % filter requires a boolean column, got %', value, question ->> 'type_name';
                END IF;
            ELSIF operator = 'in' THEN
                -- There are no arrays of arrays, which upstream finds out when a row is written.
                IF NOT (question ->> 'has_arrays')::boolean THEN
                    RAISE EXCEPTION 'operator in requires a column type that is not an array, got %', question ->> 'type_name';
                END IF;
                EXECUTE pg_catalog.format(
                    'SELECT pg_catalog.cardinality(%L::%s[]) > 100', value, question ->> 'cast_name')
                INTO has_too_many;
                IF has_too_many THEN
                    RAISE EXCEPTION 'too many values for `in` filter. Maximum 100';
                END IF;
                -- Digits without `\x`, which are no bytea in this form.
                IF (question ->> 'type')::oid = 'pg_catalog.bytea'::regtype THEN
                    canonical := value::text[];
                ELSE
                    EXECUTE pg_catalog.format(
                        'SELECT ARRAY(SELECT CASE WHEN pg_catalog.num_nulls(e) = 0 THEN pg_catalog.format(''%%s'', e) END
                            FROM pg_catalog.unnest(%L::%s[]) WITH ORDINALITY AS u (e, n) ORDER BY n)',
                        value, question ->> 'cast_name')
                    INTO canonical;
                END IF;
            ELSIF operator NOT IN ('like', 'ilike') THEN
                canonical := array[value];
                -- The text of the output function, as in the log: a cast to text writes some types in another way.
                IF (question ->> 'type')::oid <> 'pg_catalog.bytea'::regtype THEN
                    EXECUTE pg_catalog.format(
                        'SELECT array[pg_catalog.format(''%%s'', %L::%s)]', value, question ->> 'cast_name')
                    INTO canonical;
                END IF;
            END IF;
            results := pg_catalog.array_append(results, pg_catalog.jsonb_build_object(
                'filter', question -> 'filter', 'type', question -> 'type', 'canonical', canonical));
        EXCEPTION
            WHEN query_canceled OR OTHERS THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                -- The time of the statement is over, and is not watched any more.
                IF state = '57014' THEN
                    RAISE;
                END IF;
                results := pg_catalog.array_append(results, pg_catalog.jsonb_build_object(
                    'filter', question -> 'filter', 'type', question -> 'type',
                    'failure', pg_catalog.jsonb_build_object('state', state, 'message', reason)));
        END;
    END LOOP;
    answer := answer || pg_catalog.jsonb_build_object('role', role_failure, 'values', results);
    PERFORM pg_catalog.set_config('realtime.checked', answer::text, true);
EXCEPTION
    WHEN query_canceled OR OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
        PERFORM pg_catalog.set_config('realtime.checked', pg_catalog.jsonb_build_object(
            'failed', pg_catalog.jsonb_build_object('state', state, 'message', reason))::text, true);
END $check$;
SELECT pg_catalog.current_setting('realtime.checked', true) AS answer;
ROLLBACK
