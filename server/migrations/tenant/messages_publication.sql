-- The publication that messages sent from SQL are read by. One that lists other tables, or none, is made again.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = 'supabase_realtime_messages_publication') THEN
        IF EXISTS (
            SELECT FROM pg_catalog.pg_publication AS p JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid
            WHERE p.pubname = 'supabase_realtime_messages_publication' AND p.pubinsert
        ) AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_publication_tables
            WHERE pubname = 'supabase_realtime_messages_publication'
              AND NOT (schemaname = 'realtime' AND (tablename = 'messages' OR tablename LIKE 'messages\_%'))
        ) THEN
            RETURN;
        END IF;
        DROP PUBLICATION supabase_realtime_messages_publication;
    END IF;
    CREATE PUBLICATION supabase_realtime_messages_publication FOR TABLE realtime.messages;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;
