-- How Supabase Realtime finds out who sees a row (`realtime.apply_rls`), as it is documented, and in its smallest form: one
-- change after the other, and for each of them one lookup for each subscription, with its role and claims. What upstream does besides is left
-- out: decoding, conversions of values, filters.
CREATE SCHEMA documented;

CREATE TABLE documented.subscription (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity regclass NOT NULL,
    claims jsonb NOT NULL,
    claims_role regrole NOT NULL,
    action_filter text NOT NULL DEFAULT '*'
);

-- Returns how often rows with these keys, as if they had just been inserted, are visible to a subscription.
CREATE FUNCTION documented.apply_rls(changed regclass, first_key int, last_key int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    key int;
    audience record;
    subscriber record;
    readable text[];
    passed uuid[];
    is_visible boolean;
    row_of_key jsonb;
    change jsonb;
    visible bigint := 0;
    _set text;
BEGIN
    FOR key IN first_key..last_key LOOP
        EXECUTE format('SELECT to_jsonb(t) FROM %s AS t WHERE id = %L', changed, key) INTO row_of_key;
        EXECUTE format(
            'PREPARE documented_question AS SELECT EXISTS (SELECT 1 FROM %s WHERE id = %L)', changed, key);
        FOR audience IN
            SELECT DISTINCT r.rolname::text AS role_name, s.claims_role AS role
            FROM documented.subscription AS s JOIN pg_roles AS r ON r.oid = s.claims_role
            WHERE s.entity = changed AND s.action_filter IN ('*', 'INSERT')
            ORDER BY role_name
        LOOP
            readable := array(
                SELECT attname FROM pg_attribute
                WHERE attrelid = changed AND attnum > 0 AND NOT attisdropped
                  AND has_column_privilege(audience.role, attrelid, attnum, 'SELECT'));
            passed := '{}';
            FOR subscriber IN
                SELECT s.id, s.claims FROM documented.subscription AS s
                WHERE s.entity = changed AND s.action_filter IN ('*', 'INSERT') AND s.claims_role = audience.role
            LOOP
                _set := set_config('role', audience.role_name, true);
                _set := set_config('request.jwt.claims', subscriber.claims::text, true);
                EXECUTE 'EXECUTE documented_question' INTO is_visible;
                IF is_visible THEN
                    passed := passed || subscriber.id;
                END IF;
            END LOOP;
            _set := set_config('role', 'none', true);
            change := jsonb_build_object('type', 'INSERT', 'record', (
                SELECT jsonb_object_agg(c.key, c.value) FROM jsonb_each(row_of_key) AS c WHERE c.key = ANY (readable)));
            visible := visible + cardinality(passed);
        END LOOP;
        DEALLOCATE documented_question;
    END LOOP;
    RETURN visible;
END
$$;
