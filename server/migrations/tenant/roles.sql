-- The roles that policies and grants name. Those that this role may not create are left out; what follows skips them.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('anon', 'NOLOGIN NOINHERIT'),
        ('authenticated', 'NOLOGIN NOINHERIT'),
        ('service_role', 'NOLOGIN NOINHERIT BYPASSRLS'),
        ('postgres', 'NOLOGIN'),
        ('dashboard_user', 'NOLOGIN'),
        -- Supabase's has all rights. It is the owner of the schema here, and nothing more.
        ('supabase_admin', 'NOLOGIN'),
        ('supabase_realtime_admin', 'NOLOGIN NOINHERIT')
    ) AS roles (name, attributes)
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name);
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.attributes);
            IF wanted.name = 'supabase_realtime_admin' THEN
                ALTER ROLE supabase_realtime_admin SET search_path TO public, extensions, realtime;
            END IF;
        EXCEPTION
            -- Roles belong to the cluster: another of its databases may be prepared at the same time.
            WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;

-- Who may act as whom. The role of this connection becomes a member of the owners, so that it keeps its rights on what it
-- gives them.
DO $$
DECLARE
    member_of record;
BEGIN
    FOR member_of IN
        SELECT pairs.role, pairs.member FROM (VALUES
            ('anon', 'supabase_realtime_admin'),
            ('authenticated', 'supabase_realtime_admin'),
            ('service_role', 'supabase_realtime_admin'),
            ('supabase_realtime_admin', current_user),
            ('supabase_admin', current_user)
        ) AS pairs (role, member)
        JOIN pg_roles AS member ON member.rolname = pairs.member
        JOIN pg_roles AS role ON role.rolname = pairs.role
        WHERE role.oid <> member.oid
          AND NOT CASE WHEN pairs.member = current_user THEN pg_has_role(member.oid, role.oid, 'USAGE')
                  ELSE EXISTS (SELECT FROM pg_auth_members AS given
                               WHERE given.roleid = role.oid AND given.member = member.oid) END
    LOOP
        BEGIN
            EXECUTE format('GRANT %I TO %I', member_of.role, member_of.member);
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;
END
$$;

-- `realtime.list_changes` sets this parameter. PostgreSQL 14 has no such grants.
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000
        AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_realtime_admin')
    THEN
        IF NOT has_parameter_privilege('supabase_realtime_admin', 'log_min_messages', 'SET') THEN
            EXECUTE 'GRANT SET ON PARAMETER log_min_messages TO supabase_realtime_admin';
        END IF;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;
