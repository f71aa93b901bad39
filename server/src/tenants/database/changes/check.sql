-- Whether subscriptions fit the tables of a publication: what upstream's trigger on realtime.subscription checks, with its texts,
-- for all subscriptions of some joins at once. Asked in `realtime.request`, answered in `realtime.checked`, both as JSON: with what many
-- tables have in common once.
--
-- Every error is caught: PostgreSQL logs statements that fail, and these have values of clients in them.
DO $check$
#variable_conflict use_variable
DECLARE
    request constant jsonb := pg_catalog.current_setting('realtime.request')::jsonb;
    matched record;
    role regrole;
    role_refusal jsonb;
    col record;
    filter jsonb;
    operator text;
    value text;
    expected text;
    canonical text[];
    filters jsonb[];
    conditions jsonb[];
    names jsonb;
    selected integer[];
    has_too_many boolean;
    answer jsonb;
    answers jsonb[] := '{}';
    tables oid[] := '{}';
    checked text[];
    binding integer := 0;
    failed integer := 0;
    state text;
    reason text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = request ->> 'publication') THEN
        PERFORM pg_catalog.set_config('realtime.checked', pg_catalog.jsonb_build_array(
            pg_catalog.jsonb_build_object('missing', request ->> 'publication'))::text, true);
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
            role_refusal := pg_catalog.jsonb_build_object('state', state, 'message', reason);
    END;
    -- All rows and all columns of a table can be subscribed to: a subscription to thousands of tables takes as long as one.
    FOR matched IN
        SELECT b.n::integer AS n, pg_catalog.array_agg(c.oid ORDER BY t.schemaname, t.tablename) AS oids
        FROM pg_catalog.jsonb_array_elements(request -> 'bindings') WITH ORDINALITY AS b (binding, n)
        JOIN pg_catalog.pg_publication_tables AS t
            ON t.pubname = request ->> 'publication'
            AND coalesce(t.schemaname = b.binding ->> 'schema', true)
            AND coalesce(t.tablename = b.binding ->> 'table', true)
        JOIN pg_catalog.pg_namespace AS s ON s.nspname = t.schemaname
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = t.tablename
        WHERE role_refusal IS NOT NULL OR b.binding -> 'filters' = '[]' AND b.binding -> 'select' = 'null'
        GROUP BY b.n
    LOOP
        answer := pg_catalog.jsonb_build_object('binding', matched.n - 1, 'oids', matched.oids::bigint[]);
        IF role_refusal IS NULL THEN
            tables := tables || matched.oids;
        ELSE
            answer := role_refusal || pg_catalog.jsonb_build_object('binding', matched.n - 1);
        END IF;
        answers := pg_catalog.array_append(answers, answer);
    END LOOP;
    FOR matched IN
        -- PostgreSQL 14 has no lists of columns.
        SELECT b.n::integer AS n, c.oid, pg_catalog.to_jsonb(t) -> 'attnames' AS published
        FROM pg_catalog.jsonb_array_elements(request -> 'bindings') WITH ORDINALITY AS b (binding, n)
        JOIN pg_catalog.pg_publication_tables AS t
            ON t.pubname = request ->> 'publication'
            AND coalesce(t.schemaname = b.binding ->> 'schema', true)
            AND coalesce(t.tablename = b.binding ->> 'table', true)
        JOIN pg_catalog.pg_namespace AS s ON s.nspname = t.schemaname
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = t.tablename
        WHERE role_refusal IS NULL AND (b.binding -> 'filters' <> '[]' OR b.binding -> 'select' <> 'null')
        ORDER BY b.n, t.schemaname, t.tablename
    LOOP
        -- The first table that a subscription does not fit decides.
        CONTINUE WHEN matched.n = failed;
        BEGIN
            IF matched.n <> binding THEN
                binding := matched.n;
                checked := '{}';
                conditions := array(
                    SELECT pg_catalog.jsonb_build_object('column', f.condition -> 'column', 'operator', f.condition -> 'operator')
                    FROM pg_catalog.jsonb_array_elements(request -> 'bindings' -> (binding - 1) -> 'filters')
                        WITH ORDINALITY AS f (condition, n)
                    ORDER BY f.n);
                names := request -> 'bindings' -> (binding - 1) -> 'select';
            END IF;
            filters := '{}';
            FOR number IN 1..pg_catalog.cardinality(conditions) LOOP
                filter := conditions[number];
                SELECT * INTO col FROM (
                    SELECT a.attname::text AS name, a.atttypid AS type_oid, a.atttypid::regtype AS type,
                        pg_catalog.row_number() OVER (ORDER BY a.attnum) - 1 AS index,
                        cast_type.name AS cast_type,
                        cast_type.has_arrays,
                        pg_catalog.has_column_privilege(role, a.attrelid, a.attnum, 'SELECT')
                            -- Lists have no generated columns.
                            AND (a.attgenerated <> '' OR coalesce(pg_catalog.jsonb_exists(matched.published, a.attname), true))
                            AS is_selectable
                    FROM pg_catalog.pg_attribute AS a
                    -- cast_type.sql
                    WHERE a.attrelid = matched.oid AND a.attnum > 0 AND NOT a.attisdropped
                ) AS columns
                WHERE columns.name = filter ->> 'column' AND columns.is_selectable;
                IF NOT FOUND THEN
                    RAISE EXCEPTION 'invalid column for filter %', filter ->> 'column';
                END IF;

                -- The same for all tables in which the column has this type.
                filters := pg_catalog.array_append(
                    filters, pg_catalog.jsonb_build_object('column', col.index, 'type', col.type_oid::bigint));
                CONTINUE WHEN number || ' ' || col.type_oid = ANY (checked);
                checked := pg_catalog.array_append(checked, number || ' ' || col.type_oid);
                operator := filter ->> 'operator';
                value := request #>> array['bindings', (binding - 1)::text, 'filters', (number - 1)::text, 'value'];
                canonical := '{}';

                expected := CASE operator
                    WHEN 'like' THEN '~~' WHEN 'ilike' THEN '~~*' WHEN 'match' THEN '~' WHEN 'imatch' THEN '~*' END;
                IF expected IS NOT NULL THEN
                    -- Tried, because a type without an operator of its own may have that of a type it is converted to.
                    BEGIN
                        EXECUTE pg_catalog.format(
                            'SELECT NULL::%1$s OPERATOR(pg_catalog.%2$s) NULL::%1$s', col.cast_type, expected);
                    EXCEPTION
                        WHEN undefined_function OR ambiguous_function THEN
                            RAISE EXCEPTION 'operator % requires a text-compatible column type, got %', operator, col.type;
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
                    ELSIF value <> 'null' AND col.type_oid <> 'pg_catalog.bool'::regtype THEN
                        RAISE EXCEPTION 'is % filter requires a boolean column, got %', value, col.type;
                    END IF;
                ELSIF operator = 'in' THEN
                    -- There are no arrays of arrays, which upstream finds out when a row is written.
                    IF NOT col.has_arrays THEN
                        RAISE EXCEPTION 'operator in requires a column type that is not an array, got %', col.type;
                    END IF;
                    EXECUTE pg_catalog.format('SELECT pg_catalog.cardinality(%L::%s[]) > 100', value, col.cast_type)
                    INTO has_too_many;
                    IF has_too_many THEN
                        RAISE EXCEPTION 'too many values for `in` filter. Maximum 100';
                    END IF;
                    -- Digits without `\x`, which are no bytea in this form.
                    IF col.type_oid = 'pg_catalog.bytea'::regtype THEN
                        canonical := value::text[];
                    ELSE
                        EXECUTE pg_catalog.format(
                            'SELECT ARRAY(SELECT CASE WHEN pg_catalog.num_nulls(e) = 0 THEN pg_catalog.format(''%%s'', e) END
                                FROM pg_catalog.unnest(%L::%s[]) WITH ORDINALITY AS u (e, n) ORDER BY n)',
                            value, col.cast_type)
                        INTO canonical;
                    END IF;
                ELSIF operator NOT IN ('like', 'ilike') THEN
                    canonical := array[value];
                    -- The text of the output function, as in the log: a cast to text writes some types in another way.
                    IF col.type_oid <> 'pg_catalog.bytea'::regtype THEN
                        EXECUTE pg_catalog.format(
                            'SELECT array[pg_catalog.format(''%%s'', %L::%s)]', value, col.cast_type)
                        INTO canonical;
                    END IF;
                END IF;
                answer := pg_catalog.jsonb_build_object(
                    'binding', matched.n - 1, 'filter', number - 1, 'type', col.type_oid::bigint, 'canonical', canonical);
                answers := pg_catalog.array_append(answers, answer);
            END LOOP;

            selected := NULL;
            IF pg_catalog.jsonb_typeof(names) = 'array' THEN
                selected := '{}';
                FOR col IN
                    SELECT s.name, columns.index
                    FROM pg_catalog.jsonb_array_elements_text(names) AS s (name)
                    LEFT JOIN (
                        SELECT a.attname::text AS name,
                            (pg_catalog.row_number() OVER (ORDER BY a.attnum))::integer - 1 AS index,
                            pg_catalog.has_column_privilege(role, a.attrelid, a.attnum, 'SELECT')
                                AND (a.attgenerated <> '' OR coalesce(pg_catalog.jsonb_exists(matched.published, a.attname), true))
                                AS is_selectable
                        FROM pg_catalog.pg_attribute AS a
                        WHERE a.attrelid = matched.oid AND a.attnum > 0 AND NOT a.attisdropped
                    ) AS columns ON columns.name = s.name AND columns.is_selectable
                LOOP
                    IF col.index IS NULL THEN
                        RAISE EXCEPTION 'invalid column for select %', col.name;
                    END IF;
                    selected := pg_catalog.array_append(selected, col.index);
                END LOOP;
            END IF;
            answer := pg_catalog.jsonb_build_object(
                'binding', matched.n - 1, 'oid', matched.oid::bigint, 'filters', filters, 'select', selected);
            answers := pg_catalog.array_append(answers, answer);
            tables := pg_catalog.array_append(tables, matched.oid);
        EXCEPTION
            WHEN query_canceled OR OTHERS THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                failed := matched.n;
                answers := pg_catalog.array_append(answers, pg_catalog.jsonb_build_object(
                    'binding', matched.n - 1, 'state', state, 'message', reason));
                -- The time of the statement is over, and is not watched any more.
                EXIT WHEN state = '57014';
        END;
    END LOOP;
    -- A table may have no columns, and has no answer then.
    answers := answers || array(
        SELECT pg_catalog.jsonb_build_object(
            'oid', a.attrelid::bigint, 'columns', pg_catalog.array_agg(a.attnum ORDER BY a.attnum))
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = ANY (tables) AND a.attnum > 0 AND NOT a.attisdropped
        GROUP BY a.attrelid);
    PERFORM pg_catalog.set_config('realtime.checked', pg_catalog.to_jsonb(answers)::text, true);
EXCEPTION
    WHEN query_canceled OR OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
        PERFORM pg_catalog.set_config('realtime.checked', pg_catalog.jsonb_build_array(
            pg_catalog.jsonb_build_object('state', state, 'message', reason))::text, true);
END $check$;
SELECT pg_catalog.current_setting('realtime.checked', true) AS answer;
ROLLBACK
