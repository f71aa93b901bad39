-- What an application calls to send messages from SQL. All of it runs with the rights of the caller, so the INSERT policies
-- of `realtime.messages` apply. Functions are named with their schema, because the caller's `search_path` may hold others.

-- The topic that a policy is asked about, or that the last message of this transaction was sent to.
CREATE FUNCTION realtime.topic() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT nullif(pg_catalog.current_setting('realtime.topic', true), '');
$$;

-- Sends a message once the transaction commits. An error is a warning: it does not end the transaction of the caller.
CREATE FUNCTION realtime.send(payload jsonb, event text, topic text, private boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    message_id constant uuid := pg_catalog.gen_random_uuid();
    sent_at constant timestamp := pg_catalog.now() AT TIME ZONE 'UTC';
    _set text;
BEGIN
    IF NOT payload ? 'id' THEN
        payload := pg_catalog.jsonb_set(payload, '{id}', pg_catalog.to_jsonb(message_id));
    END IF;
    _set := pg_catalog.set_config('realtime.topic', topic, true);
    INSERT INTO realtime.messages (id, topic, extension, event, payload, private, inserted_at, updated_at)
    VALUES (message_id, topic, 'broadcast', event, payload, private, sent_at, sent_at);
EXCEPTION
    WHEN OTHERS THEN RAISE WARNING 'WarnSendingBroadcastMessage: %', SQLERRM;
END
$$;

-- As `realtime.send`, with bytes that are sent as they are.
CREATE FUNCTION realtime.send_binary(payload bytea, event text, topic text, private boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    sent_at constant timestamp := pg_catalog.now() AT TIME ZONE 'UTC';
    _set text;
BEGIN
    _set := pg_catalog.set_config('realtime.topic', topic, true);
    INSERT INTO realtime.messages (topic, extension, event, binary_payload, private, inserted_at, updated_at)
    VALUES (topic, 'broadcast', event, payload, private, sent_at, sent_at);
EXCEPTION
    WHEN OTHERS THEN RAISE WARNING 'WarnSendingBroadcastMessage: %', SQLERRM;
END
$$;

-- Sends a changed row to a private topic. To be called from a trigger function FOR EACH ROW, with its TG_ variables.
CREATE FUNCTION realtime.broadcast_changes(
    topic_name text,
    event_name text,
    operation text,
    table_name text,
    table_schema text,
    new record,
    old record,
    level text DEFAULT 'ROW'
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF level = 'STATEMENT' THEN
        RAISE EXCEPTION 'function can only be triggered for each row, not for each statement';
    ELSIF operation IN ('INSERT', 'UPDATE', 'DELETE') THEN
        PERFORM realtime.send(
            pg_catalog.jsonb_build_object(
                'schema', table_schema, 'table', table_name, 'operation', operation, 'record', new, 'old_record', old),
            event_name,
            topic_name);
    ELSE
        RAISE EXCEPTION 'Unexpected operation type: %', operation;
    END IF;
EXCEPTION
    WHEN OTHERS THEN RAISE EXCEPTION 'Failed to process the row: %', SQLERRM;
END
$$;
