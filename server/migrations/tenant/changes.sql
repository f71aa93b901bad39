-- Changes of tables out of the write-ahead log, as the plugin wal2json writes them (format 2), for those who may see them.

-- A name as the option `add-tables` of wal2json takes it.
CREATE FUNCTION realtime.wal2json_escape_identifier(name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT pg_catalog.regexp_replace(name, '([\\,.[:space:]])', '\\\1', 'g');
$$;

CREATE FUNCTION realtime.quote_wal2json(entity regclass) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT realtime.wal2json_escape_identifier(n.nspname::text) || '.'
        || realtime.wal2json_escape_identifier(c.relname::text)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = entity;
$$;

-- A statement that prepares the question whether the row with this primary key is visible.
CREATE FUNCTION realtime.build_prepared_statement_sql(
    prepared_statement_name text, entity regclass, columns realtime.wal_column[]
) RETURNS text
LANGUAGE sql AS $$
    SELECT pg_catalog.format(
        'PREPARE %I AS SELECT EXISTS (SELECT 1 FROM %s WHERE %s)', prepared_statement_name, entity,
        pg_catalog.string_agg(pg_catalog.format('%I = %L', c.name,
            -- The digits of a bytea have no `\x` here.
            CASE WHEN c.type_oid = 'pg_catalog.bytea'::regtype THEN '\x' ELSE '' END || (c.value #>> '{}')), ' AND '))
    FROM pg_catalog.unnest(columns) AS c
    WHERE c.is_pkey;
$$;

-- What each group of subscribers may see of a change; a group has one role and one list of columns. An error in the filter or
-- the policy of one subscriber hides the change from that one only.
CREATE FUNCTION realtime.apply_rls(wal jsonb, max_record_bytes integer DEFAULT 1048576)
RETURNS SETOF realtime.wal_rls
LANGUAGE plpgsql AS $$
DECLARE
    changed constant regclass := pg_catalog.format('%I.%I', wal ->> 'schema', wal ->> 'table')::regclass;
    action constant text := CASE wal ->> 'action' WHEN 'I' THEN 'INSERT' WHEN 'U' THEN 'UPDATE' WHEN 'D' THEN 'DELETE' END;
    has_rls constant boolean := (SELECT relrowsecurity FROM pg_catalog.pg_class WHERE oid = changed);
    is_too_large constant boolean := pg_catalog.octet_length(wal::text) > max_record_bytes;
    key_columns constant text[] := array(SELECT pk ->> 'name' FROM pg_catalog.jsonb_array_elements(wal -> 'pk') AS pk);
    caller constant text := pg_catalog.current_setting('role');
    caller_claims constant text := coalesce(pg_catalog.current_setting('request.jwt.claims', true), '');
    question constant text := 'realtime_row_is_visible';
    new_columns realtime.wal_column[];
    old_columns realtime.wal_column[];
    change jsonb := pg_catalog.jsonb_build_object(
        'type', action, 'schema', wal ->> 'schema', 'table', wal ->> 'table');
    readable text[];
    error text;
    is_visible boolean;
    audience record;
    subscriber record;
    passed uuid[];
    _set text;
BEGIN
    IF action IS NULL THEN
        RETURN;
    END IF;

    new_columns := array(
        SELECT (c ->> 'name', c ->> 'type', (c ->> 'typeoid')::oid,
                coalesce(realtime."cast"(c ->> 'value', (c ->> 'typeoid')::oid::regtype), 'null'),
                c ->> 'name' = ANY (key_columns), true)::realtime.wal_column
        FROM pg_catalog.jsonb_array_elements(wal -> 'columns') AS c);
    old_columns := array(
        SELECT (c ->> 'name', c ->> 'type', (c ->> 'typeoid')::oid,
                coalesce(realtime."cast"(c ->> 'value', (c ->> 'typeoid')::oid::regtype), 'null'),
                c ->> 'name' = ANY (key_columns), true)::realtime.wal_column
        FROM pg_catalog.jsonb_array_elements(wal -> 'identity') AS c);

    IF has_rls AND action <> 'DELETE' AND pg_catalog.cardinality(key_columns) > 0 THEN
        -- One of an earlier call that ended in an error, which does not take it back.
        IF EXISTS (SELECT FROM pg_catalog.pg_prepared_statements AS p WHERE p.name = question) THEN
            EXECUTE pg_catalog.format('DEALLOCATE %I', question);
        END IF;
        EXECUTE realtime.build_prepared_statement_sql(question, changed, new_columns);
    END IF;

    FOR audience IN
        SELECT DISTINCT r.rolname::text AS role_name, s.claims_role AS role, s.selected_columns AS selected
        FROM realtime.subscription AS s JOIN pg_catalog.pg_roles AS r ON r.oid = s.claims_role
        WHERE s.entity = changed AND s.action_filter IN ('*', action)
        ORDER BY role_name, selected
    LOOP
        readable := array(
            SELECT attname FROM pg_catalog.pg_attribute
            WHERE attrelid = changed AND attnum > 0 AND NOT attisdropped
              AND pg_catalog.has_column_privilege(audience.role, attrelid, attnum, 'SELECT'));
        error := CASE
            WHEN action = 'DELETE' THEN NULL
            WHEN pg_catalog.cardinality(key_columns) = 0 THEN 'Error 400: Bad Request, no primary key'
            WHEN NOT key_columns <@ readable THEN 'Error 401: Unauthorized'
        END;

        passed := '{}';
        FOR subscriber IN
            SELECT s.subscription_id, s.claims, s.filters FROM realtime.subscription AS s
            WHERE s.entity = changed AND s.action_filter IN ('*', action)
              AND s.claims_role = audience.role AND s.selected_columns IS NOT DISTINCT FROM audience.selected
        LOOP
            is_visible := true;
            IF error IS NULL THEN
                BEGIN
                    is_visible := realtime.is_visible_through_filters(
                        CASE action WHEN 'DELETE' THEN old_columns ELSE new_columns END, subscriber.filters);
                    IF is_visible AND has_rls AND action <> 'DELETE' THEN
                        _set := pg_catalog.set_config('request.jwt.claims', subscriber.claims::text, true);
                        _set := pg_catalog.set_config('role', audience.role_name, true);
                        EXECUTE pg_catalog.format('EXECUTE %I', question) INTO is_visible;
                        _set := pg_catalog.set_config('role', caller, true);
                        _set := pg_catalog.set_config('request.jwt.claims', caller_claims, true);
                    END IF;
                EXCEPTION
                    -- The settings are again as they were before this block.
                    WHEN OTHERS THEN is_visible := false;
                END;
            END IF;
            IF is_visible THEN
                passed := passed || subscriber.subscription_id;
            END IF;
        END LOOP;
        CONTINUE WHEN pg_catalog.cardinality(passed) = 0;

        IF error IS NOT NULL THEN
            RETURN NEXT (change, has_rls, passed, array[error])::realtime.wal_rls;
            CONTINUE;
        END IF;
        -- The rest is what this group may read.
        IF audience.selected IS NOT NULL THEN
            readable := array(
                SELECT name FROM pg_catalog.unnest(readable) AS name
                WHERE name = ANY (audience.selected) OR name = ANY (key_columns));
        END IF;
        RETURN NEXT (
            change || pg_catalog.jsonb_build_object(
                'commit_timestamp', pg_catalog.to_char(
                    (wal ->> 'timestamp')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'columns', (
                    SELECT coalesce(pg_catalog.jsonb_agg(
                        pg_catalog.jsonb_build_object('name', a.attname, 'type', t.typname) ORDER BY a.attnum), '[]')
                    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                    WHERE a.attrelid = changed AND a.attnum > 0 AND a.attname::text = ANY (readable)))
            || CASE WHEN action <> 'DELETE' THEN pg_catalog.jsonb_build_object('record', (
                    -- A large value that has not changed is only in the old row.
                    SELECT coalesce(pg_catalog.jsonb_object_agg(c.name, c.value ORDER BY c.age DESC), '{}')
                    FROM (SELECT 1 AS age, o.* FROM pg_catalog.unnest(old_columns) AS o WHERE NOT is_too_large
                          UNION ALL SELECT 0, n.* FROM pg_catalog.unnest(new_columns) AS n) AS c
                    WHERE c.name = ANY (readable)
                      AND (NOT is_too_large OR pg_catalog.octet_length(c.value::text) <= 64)))
                ELSE '{}' END
            || CASE WHEN action <> 'INSERT' THEN pg_catalog.jsonb_build_object('old_record', (
                    SELECT coalesce(pg_catalog.jsonb_object_agg(c.name, c.value), '{}')
                    FROM pg_catalog.unnest(old_columns) AS c
                    WHERE c.name = ANY (readable)
                      -- The policies cannot be asked about a row that is gone.
                      AND (c.is_pkey OR action <> 'DELETE' OR NOT has_rls)
                      AND (NOT is_too_large OR pg_catalog.octet_length(c.value::text) <= 64)))
                ELSE '{}' END,
            has_rls, passed,
            CASE WHEN is_too_large THEN array['Error 413: Payload Too Large'] ELSE '{}'::text[] END
        )::realtime.wal_rls;
    END LOOP;
END
$$;

-- Takes the next changes of the tables of a publication from a slot, and returns those with a subscriber. If there are none it
-- returns one row, with the number of changes that were taken.
CREATE FUNCTION realtime.list_changes(publication name, slot_name name, max_changes integer, max_record_bytes integer)
RETURNS TABLE (wal jsonb, is_rls_enabled boolean, subscription_ids uuid[], errors text[], slot_changes_count bigint)
LANGUAGE sql AS $$
    WITH published AS (
        SELECT
            pg_catalog.concat_ws(',',
                CASE WHEN p.pubinsert THEN 'insert' END,
                CASE WHEN p.pubupdate THEN 'update' END,
                CASE WHEN p.pubdelete THEN 'delete' END) AS actions,
            pg_catalog.string_agg(realtime.quote_wal2json(
                pg_catalog.format('%I.%I', t.schemaname, t.tablename)::regclass), ',') AS tables
        FROM pg_catalog.pg_publication AS p
        JOIN pg_catalog.pg_publication_tables AS t ON t.pubname = p.pubname
        WHERE p.pubname = publication
        GROUP BY p.oid, p.pubinsert, p.pubupdate, p.pubdelete
    ), taken AS MATERIALIZED (
        SELECT change.data::jsonb AS wal
        FROM published, LATERAL pg_catalog.pg_logical_slot_get_changes(
            slot_name, NULL, max_changes,
            'format-version', '2',
            'include-pk', 'true',
            'include-transaction', 'false',
            'include-timestamp', 'true',
            'include-type-oids', 'true',
            'actions', published.actions,
            'add-tables', published.tables) AS change
    ), visible AS MATERIALIZED (
        SELECT seen.* FROM taken, LATERAL realtime.apply_rls(taken.wal, max_record_bytes) AS seen
    ), total AS (
        SELECT pg_catalog.count(*) AS changes FROM taken
    )
    SELECT visible.wal, visible.is_rls_enabled, visible.subscription_ids, visible.errors, total.changes
    FROM total LEFT JOIN visible ON true;
$$;

-- What wal2json and the policies report is not written to the log of the server. To set this needs a permission of its own.
DO $$
BEGIN
    ALTER FUNCTION realtime.list_changes(name, name, integer, integer) SET log_min_messages TO fatal;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;
