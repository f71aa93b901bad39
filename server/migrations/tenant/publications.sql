-- The publication of tables whose changes are sent to subscribers. The application adds its tables to it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime') THEN
        CREATE PUBLICATION supabase_realtime;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;
