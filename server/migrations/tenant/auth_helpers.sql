-- The functions that Supabase's policies call, for a PostgreSQL that is not Supabase's: who sends the request. Run once, as
-- the owner of the database. What exists already stays as it is.
--
-- They read what Realtime Server and PostgREST set for each request: all claims of the token as JSON, or each in a setting of
-- its own, as older versions do.
BEGIN;

CREATE SCHEMA IF NOT EXISTS auth;

DO $$
BEGIN
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
                nullif(pg_catalog.current_setting('request.jwt.claim.sub', true), ''))::uuid
        $body$;
    END IF;
    IF to_regprocedure('auth.role()') IS NULL THEN
        CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'role',
                nullif(pg_catalog.current_setting('request.jwt.claim.role', true), ''))
        $body$;
    END IF;
    IF to_regprocedure('auth.email()') IS NULL THEN
        CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS $body$
            SELECT coalesce(
                nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'email',
                nullif(pg_catalog.current_setting('request.jwt.claim.email', true), ''))
        $body$;
    END IF;
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $body$
            SELECT nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb
        $body$;
    END IF;
END
$$;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role') LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA auth TO %I', role);
        EXECUTE format(
            'GRANT EXECUTE ON FUNCTION auth.uid(), auth.role(), auth.email(), auth.jwt() TO %I', role);
    END LOOP;
END
$$;

COMMIT;
