-- The owners: `supabase_admin` of the schema and the record of its versions, `supabase_realtime_admin` of all else. Only roles
-- whose rights the role of this connection has too; otherwise it stays the owner. What an application has in the schema of its
-- own is left alone.
DO $$
DECLARE
    functions constant regprocedure[] := array(
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'realtime'::regnamespace AND proname IN (
            'apply_rls', 'broadcast_changes', 'build_prepared_statement_sql', 'cast', 'check_equality_op',
            'is_visible_through_filters', 'list_changes', 'quote_wal2json', 'send', 'send_binary',
            'subscription_check_filters', 'to_regrole', 'topic', 'wal2json_escape_identifier'));
    object text;
BEGIN
    FOREACH object IN ARRAY functions::text[] LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', object);
    END LOOP;
    IF (SELECT count(*) = 2 AND bool_and(pg_has_role(oid, 'USAGE')) FROM pg_roles
        WHERE rolname IN ('supabase_admin', 'supabase_realtime_admin'))
    THEN
        ALTER SCHEMA realtime OWNER TO supabase_admin;
        -- An owner of tables must have the right to create them.
        GRANT USAGE, CREATE ON SCHEMA realtime TO supabase_realtime_admin WITH GRANT OPTION;
        ALTER TABLE realtime.schema_migrations OWNER TO supabase_admin;
        FOREACH object IN ARRAY array[
            'TABLE realtime.messages', 'TABLE realtime.subscription',
            'TYPE realtime.action', 'TYPE realtime.equality_op', 'TYPE realtime.user_defined_filter',
            'TYPE realtime.wal_column', 'TYPE realtime.wal_rls'
        ] || array(SELECT 'FUNCTION ' || name FROM unnest(functions::text[]) AS name) LOOP
            EXECUTE format('ALTER %s OWNER TO supabase_realtime_admin', object);
        END LOOP;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;

-- Who may use what. Roles that do not exist are left out.
DO $$
DECLARE
    grants record;
BEGIN
    FOR grants IN
        SELECT roles.role, to_grant.statement FROM (VALUES
            ('GRANT USAGE ON SCHEMA realtime TO %I', array['anon', 'authenticated', 'service_role']),
            ('GRANT USAGE ON SCHEMA realtime TO %I WITH GRANT OPTION', array['postgres']),
            ('GRANT USAGE, CREATE ON SCHEMA realtime TO %I WITH GRANT OPTION', array['supabase_realtime_admin']),
            ('GRANT SELECT, INSERT, UPDATE ON realtime.messages TO %I', array['anon', 'authenticated', 'service_role']),
            ('GRANT SELECT ON realtime.subscription TO %I', array['anon', 'authenticated', 'service_role']),
            ('GRANT ALL ON realtime.messages, realtime.subscription TO %I', array['postgres', 'dashboard_user'])
        ) AS to_grant (statement, names)
        CROSS JOIN LATERAL unnest(to_grant.names) AS roles (role)
        JOIN pg_roles ON rolname = roles.role
    LOOP
        EXECUTE format(grants.statement, grants.role);
    END LOOP;
END
$$;

REVOKE ALL ON realtime.schema_migrations FROM PUBLIC;

-- What Supabase's own administrator adds to the schema later is usable from its dashboard.
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN SELECT rolname FROM pg_roles WHERE rolname IN ('postgres', 'dashboard_user') LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA realtime GRANT ALL ON TABLES TO %I', grantee);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA realtime GRANT ALL ON SEQUENCES TO %I', grantee);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA realtime GRANT ALL ON FUNCTIONS TO %I', grantee);
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN NULL;
END
$$;
