-- Values as `to_jsonb` writes them, which calls the casts to json that types have. Asked in `realtime.values`, answered in
-- `realtime.converted`, both as JSON: the text of the JSON of each, or why it cannot be written.
--
-- All are one statement. If that fails, each is one of its own, up to the first that takes the rest of the time: what is behind
-- it is not answered. Errors are caught, because PostgreSQL logs statements that fail.
DO $convert$
#variable_conflict use_variable
DECLARE
    conversions text[];
    conversion text;
    converted text;
    all_converted text[];
    answers jsonb[] := '{}';
    state text;
    reason text;
BEGIN
    conversions := array(
        SELECT pg_catalog.format('coalesce(pg_catalog.to_jsonb(%L::%s)::text, ''null'')', v ->> 'text',
            coalesce(n.type, 'pg_catalog."type ' || (v ->> 'type') || '"'))
        FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('realtime.values')::jsonb)
            WITH ORDINALITY AS asked (v, number)
        LEFT JOIN (
            SELECT t.oid, pg_catalog.format('%I.%I', n.nspname, t.typname) AS type
            FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        ) AS n ON n.oid = (v ->> 'type')::oid
        ORDER BY asked.number);
    EXECUTE 'SELECT array[' || pg_catalog.array_to_string(conversions, ', ') || ']::text[]' INTO all_converted;
    PERFORM pg_catalog.set_config('realtime.converted', pg_catalog.to_jsonb(all_converted)::text, true);
EXCEPTION
    WHEN OTHERS THEN
        BEGIN
            FOREACH conversion IN ARRAY coalesce(conversions, '{}') LOOP
                BEGIN
                    EXECUTE 'SELECT ' || conversion INTO converted;
                    answers := pg_catalog.array_append(answers, pg_catalog.to_jsonb(converted));
                EXCEPTION
                    WHEN query_canceled OR OTHERS THEN
                        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                        answers := pg_catalog.array_append(answers, pg_catalog.jsonb_build_object(
                            'state', state, 'message', pg_catalog.left(reason, 1000)));
                        EXIT WHEN state = '57014';
                END;
            END LOOP;
            PERFORM pg_catalog.set_config('realtime.converted', pg_catalog.to_jsonb(answers)::text, true);
        END;
    WHEN query_canceled THEN
        PERFORM pg_catalog.set_config('realtime.converted', '[]', true);
END $convert$;
SELECT pg_catalog.current_setting('realtime.converted', true) AS answer;
ROLLBACK
