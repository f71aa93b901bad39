-- Evaluates an expression for each value that is asked about in `realtime.asked`, as JSON: answered in `realtime.answered` by the
-- results, or why there is none. What is put in below writes it in SQL, of what is asked, `v`, and the name of its type, `t.name`.
--
-- All are one statement. If that fails, each is one of its own, up to the first that takes the rest of the time: what is behind
-- it is not answered. Errors are caught, because PostgreSQL logs statements that fail.
DO $each$
#variable_conflict use_variable
DECLARE
    expressions text[];
    expression text;
    result {result};
    results {result}[];
    answers jsonb[] := '{}';
    state text;
    reason text;
BEGIN
    expressions := array(
        SELECT {expression}
        FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('realtime.asked')::jsonb)
            WITH ORDINALITY AS asked (v, number)
        LEFT JOIN (
            SELECT y.oid, pg_catalog.format('%I.%I', n.nspname, y.typname) AS name
            FROM pg_catalog.pg_type AS y JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace
        ) AS known ON known.oid = (v ->> 'type')::oid
        -- One that was dropped is a name that does not exist.
        CROSS JOIN LATERAL (
            SELECT coalesce(known.name, 'pg_catalog."type ' || (v ->> 'type') || '"') AS name
        ) AS t
        ORDER BY asked.number);
    EXECUTE 'SELECT array[' || pg_catalog.array_to_string(expressions, ', ') || ']::{result}[]' INTO results;
    PERFORM pg_catalog.set_config('realtime.answered', pg_catalog.to_jsonb(results)::text, true);
EXCEPTION
    WHEN OTHERS THEN
        BEGIN
            FOREACH expression IN ARRAY coalesce(expressions, '{}') LOOP
                BEGIN
                    EXECUTE 'SELECT ' || expression INTO result;
                    answers := pg_catalog.array_append(answers, coalesce(pg_catalog.to_jsonb(result), 'null'));
                EXCEPTION
                    WHEN query_canceled OR OTHERS THEN
                        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                        answers := pg_catalog.array_append(answers, pg_catalog.jsonb_build_object(
                            'state', state, 'message', pg_catalog.left(reason, 1000)));
                        EXIT WHEN state = '57014';
                END;
            END LOOP;
            PERFORM pg_catalog.set_config('realtime.answered', pg_catalog.to_jsonb(answers)::text, true);
        END;
    WHEN query_canceled THEN
        PERFORM pg_catalog.set_config('realtime.answered', '[]', true);
END $each$;
SELECT pg_catalog.current_setting('realtime.answered', true) AS answer;
ROLLBACK
