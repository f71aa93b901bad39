-- Comparisons of filters, as upstream's realtime.check_equality_op makes them: values are literals of a type, and compared with the
-- collation of the database. Asked in `realtime.comparisons`, answered in `realtime.compared`, both as JSON: true, false or null
-- for each, or why it fails.
--
-- All are one statement. If that fails, each is one of its own, up to the first that takes the rest of the time: what is behind
-- it is not answered. Errors are caught, because PostgreSQL logs statements that fail.
DO $compare$
#variable_conflict use_variable
DECLARE
    comparisons text[];
    comparison text;
    holds boolean;
    all_hold boolean[];
    answers jsonb[] := '{}';
    state text;
    reason text;
BEGIN
    comparisons := array(
        -- 1: the value of the row, 2: that of the filter, 3: their type, 4: a keyword.
        SELECT '(' || pg_catalog.format(CASE c ->> 'operator'
                WHEN 'eq' THEN '%1$L::%3$s = %2$L::%3$s'
                WHEN 'neq' THEN '%1$L::%3$s <> %2$L::%3$s'
                WHEN 'lt' THEN '%1$L::%3$s < %2$L::%3$s'
                WHEN 'lte' THEN '%1$L::%3$s <= %2$L::%3$s'
                WHEN 'gt' THEN '%1$L::%3$s > %2$L::%3$s'
                WHEN 'gte' THEN '%1$L::%3$s >= %2$L::%3$s'
                WHEN 'in' THEN '%1$L::%3$s = ANY (%2$L::%3$s[])'
                WHEN 'like' THEN '%1$L::%3$s LIKE %2$L'
                WHEN 'ilike' THEN '%1$L::%3$s ILIKE %2$L'
                WHEN 'match' THEN '%1$L::%3$s ~ %2$L'
                WHEN 'imatch' THEN '%1$L::%3$s ~* %2$L'
                WHEN 'is' THEN '%1$L::%3$s IS %4$s'
                WHEN 'isdistinct' THEN '%1$L::%3$s IS DISTINCT FROM %2$L::%3$s'
            END,
            c ->> 'row', c ->> 'value', coalesce(n.type, 'pg_catalog."type ' || (c ->> 'type') || '"'),
            CASE WHEN c ->> 'value' IN ('null', 'true', 'false', 'unknown') THEN c ->> 'value' END) || ')'
        FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('realtime.comparisons')::jsonb)
            WITH ORDINALITY AS asked (c, number)
        LEFT JOIN (
            SELECT t.oid, pg_catalog.format('%I.%I', n.nspname, t.typname) AS type
            FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        ) AS n ON n.oid = (c ->> 'type')::oid
        ORDER BY asked.number);
    EXECUTE 'SELECT array[' || pg_catalog.array_to_string(comparisons, ', ') || ']::boolean[]' INTO all_hold;
    PERFORM pg_catalog.set_config('realtime.compared', pg_catalog.to_jsonb(all_hold)::text, true);
EXCEPTION
    WHEN OTHERS THEN
        BEGIN
            FOREACH comparison IN ARRAY coalesce(comparisons, '{}') LOOP
                BEGIN
                    EXECUTE 'SELECT ' || comparison INTO holds;
                    answers := pg_catalog.array_append(answers, coalesce(pg_catalog.to_jsonb(holds), 'null'));
                EXCEPTION
                    WHEN query_canceled OR OTHERS THEN
                        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                        answers := pg_catalog.array_append(answers, pg_catalog.jsonb_build_object(
                            'state', state, 'message', pg_catalog.left(reason, 1000)));
                        EXIT WHEN state = '57014';
                END;
            END LOOP;
            PERFORM pg_catalog.set_config('realtime.compared', pg_catalog.to_jsonb(answers)::text, true);
        END;
    WHEN query_canceled THEN
        PERFORM pg_catalog.set_config('realtime.compared', '[]', true);
END $compare$;
SELECT pg_catalog.current_setting('realtime.compared', true) AS answer;
ROLLBACK
